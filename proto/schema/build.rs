//! Compiles the schema without a protoc on the machine.

use std::path::PathBuf;

use prost::Message as _;
use protox::prost_reflect::prost_types::FileDescriptorSet;

const FILES: [&str; 2] = ["venue/v1/event.proto", "venue/v1/event_ingest_service.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=venue");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let descriptors = protox::compile(FILES, ["."])?;
    let encoded = descriptors.encode_to_vec();
    let fields = Fields::of(&descriptors);

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
    let serde = out.join("venue.v1.serde.rs");
    std::fs::write(&serde, complete_json_form(&std::fs::read_to_string(&serde)?, &fields))?;
    std::fs::write(out.join("venue.v1.fds"), encoded)?;
    Ok(())
}

/// The fields whose JSON form pbjson leaves incomplete.
struct Fields {
    enums: usize,
    doubles: Vec<String>,
}

impl Fields {
    fn of(descriptors: &FileDescriptorSet) -> Self {
        let messages = descriptors.file.iter().flat_map(|file| &file.message_type);
        let fields: Vec<_> = messages.flat_map(|message| &message.field).collect();
        let enums = fields.iter().filter(|field| field.r#type().as_str_name() == "TYPE_ENUM").count();
        let doubles = fields.iter().filter(|field| field.r#type().as_str_name() == "TYPE_DOUBLE");
        Self { enums, doubles: doubles.map(|field| field.name().to_owned()).collect() }
    }
}

/// Lets unknown enum numbers and doubles that are no number through (`src/json_form.rs`
/// says why). The counts show that no field was missed; a new version of pbjson that
/// writes other code stops the build.
fn complete_json_form(generated: &str, fields: &Fields) -> String {
    let mut lines: Vec<String> = Vec::new();
    let (mut written, mut read, mut doubles) = (0, 0, 0);
    for line in generated.lines() {
        let code = line.trim();
        if code.starts_with(r#".map_err(|_| serde::ser::Error::custom(format!("Invalid variant"#) {
            let value = lines.pop().unwrap_or_default();
            let value = value.replace("= ", "= crate::json_form::EnumNumber::<").replace("::try_from(", ">::new(");
            lines.push(value + ";");
            written += 1;
        } else if let Some((before, name)) = line.split_once("map_.next_value::<").filter(|_| line.contains("as i32")) {
            let name = name.replace(">()? as i32", ">>()?.number()");
            lines.push(format!("{before}map_.next_value::<crate::json_form::EnumNumber<{name}"));
            read += 1;
        } else if let Some(name) = fields.doubles.iter().find(|name| code == optional_field(name)) {
            lines.push(line.replace(&optional_field(name), &double_field(name)));
            doubles += 1;
        } else {
            lines.push(line.to_owned());
        }
    }
    assert_eq!((written, read), (fields.enums, fields.enums), "enum fields written and read in the generated code");
    assert_eq!(doubles, fields.doubles.len(), "doubles written in the generated code");
    lines.join("\n")
}

fn optional_field(name: &str) -> String {
    format!(r#"struct_ser.serialize_field("{name}", v)?;"#)
}

fn double_field(name: &str) -> String {
    format!(r#"struct_ser.serialize_field("{name}", &crate::json_form::Double(*v))?;"#)
}
