//! The lines to the devices: serial ports that are there and may be used, and
//! addresses of this machine to listen at.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::config::{Config, Finding, TransportConfig};

pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) {
    let mut devices: Vec<(PathBuf, &str)> = Vec::new();
    for (index, source) in config.sources.iter().enumerate() {
        match &source.transport {
            TransportConfig::Serial { port, .. } => {
                let place = config.place(&format!("source[{index}].serial.port"));
                if let Some((message, help)) = unusable(port) {
                    findings.push(Finding::error(place.clone(), message, help));
                }
                if let Some(message) = unsteady(port) {
                    let help = "use its name below /dev/serial/by-id; `venue-gateway ports` lists them";
                    findings.push(Finding::warning(place.clone(), message, help));
                }
                let device = fs::canonicalize(port).unwrap_or_else(|_| port.clone());
                let same = |(other, name): &&(PathBuf, &str)| *other == device && *name != source.name;
                if let Some((_, other)) = devices.iter().find(same) {
                    let message = format!("{} is the port of `{other}` under another name", port.display());
                    findings.push(Finding::error(place, message, "a port has one reader: remove one of the sources"));
                }
                devices.push((device, &source.name));
            }
            TransportConfig::TcpListen { address, .. } => {
                findings.extend(not_ours(config, &format!("source[{index}].tcp.listen"), address.ip()));
            }
            TransportConfig::TcpConnect { .. } => {}
        }
    }
    findings.extend(config.http.listen.and_then(|address| not_ours(config, "http.listen", address.ip())));
}

/// An address to listen at that this machine does not have.
fn not_ours(config: &Config, path: &str, address: IpAddr) -> Option<Finding> {
    let message = format!("{address} is not an address of this machine");
    let help = "use one that `ip address` shows, or \"0.0.0.0\" for all of them";
    (!is_ours(address)).then(|| Finding::error(config.place(path), message, help))
}

/// Why a port cannot be used, and how to mend it.
fn unusable(port: &Path) -> Option<(String, &'static str)> {
    let shown = port.display();
    match fs::metadata(port) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Some((format!("there is no port {shown}"), "plug it in; `venue-gateway ports` lists what is there"))
        }
        Err(error) => Some((format!("cannot look at {shown}: {error}"), "let the gateway's user see it")),
        Ok(found) if !found.file_type().is_char_device() => {
            Some((format!("{shown} is not a serial port"), "`venue-gateway ports` lists them"))
        }
        Ok(_) => access(port, Access::READ_OK | Access::WRITE_OK).err().map(|error| {
            (
                format!("cannot use {shown}: {error}"),
                "put the gateway's user into the port's group: `usermod -aG dialout USER`",
            )
        }),
    }
}

/// A name that goes by the order of plugging in.
fn unsteady(port: &Path) -> Option<String> {
    let name = port.strip_prefix("/dev").ok()?.to_str()?;
    let counted = ["ttyUSB", "ttyACM"].iter().any(|start| name.starts_with(start));
    counted.then(|| format!("{} may be another port after the next start", port.display()))
}

/// Whether a socket can be bound to an address. Port 0 is free even while a
/// running gateway holds the one that is configured.
fn is_ours(address: IpAddr) -> bool {
    match TcpListener::bind((address, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::AddrNotAvailable,
    }
}
