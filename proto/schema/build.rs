//! Compiles the schema without a protoc on the machine.

use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 2] = ["venue/v1/event.proto", "venue/v1/event_ingest_service.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=venue");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let descriptors = protox::compile(FILES, ["."])?;
    let encoded = descriptors.encode_to_vec();

    let mut prost = prost_build::Config::new();
    // Ordered maps: the same event gives the same bytes in every run.
    prost.btree_map(["."]);
    prost.bytes(["."]);
    if std::env::var_os("CARGO_FEATURE_GRPC").is_some() {
        tonic_prost_build::configure().compile_fds_with_config(descriptors, prost)?;
    } else {
        prost.compile_fds(descriptors)?;
    }

    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        .btree_map(["."])
        .build(&[".venue.v1"])?;
    std::fs::write(out.join("venue.v1.fds"), encoded)?;
    Ok(())
}
