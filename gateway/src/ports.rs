//! Lists serial ports by the names that last.
//!
//! Read from sysfs and /dev/serial, which udev fills; libudev is not needed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A serial port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SerialPort {
    /// The name for the configuration: the one in /dev/serial/by-id if it has one,
    /// which follows the adapter to any socket; else the one in /dev/serial/by-path,
    /// which names the socket; else the tty.
    pub name: PathBuf,
    /// The tty, for example /dev/ttyUSB0: another one after the next start, maybe.
    pub tty: PathBuf,
    /// The kernel's driver, for example `ftdi_sio`; empty if unknown.
    pub driver: String,
    /// The USB device that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usb: Option<UsbDevice>,
}

/// What a USB device says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UsbDevice {
    /// Vendor id, four hex digits.
    pub vendor_id: String,
    /// Product id, four hex digits.
    pub product_id: String,
    /// The maker's name; empty if it says none.
    pub manufacturer: String,
    /// The product's name; empty if it says none.
    pub product: String,
    /// Serial number; empty if it has none, and then two of its kind cannot be told
    /// apart but by their sockets.
    pub serial_number: String,
}

/// `0403:6001 FTDI FT232R USB UART`
impl std::fmt::Display for UsbDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.vendor_id, self.product_id)?;
        let words = [&self.manufacturer, &self.product, &self.serial_number];
        words.into_iter().filter(|word| !word.is_empty()).try_for_each(|word| write!(f, " {word}"))
    }
}

/// The serial ports of this machine, in the order of their ttys.
///
/// # Errors
/// If sysfs cannot be read.
pub fn list() -> io::Result<Vec<SerialPort>> {
    list_under(Path::new("/"))
}

/// The ports of the machine whose root directory this is.
fn list_under(root: &Path) -> io::Result<Vec<SerialPort>> {
    let mut names = links(&root.join("dev/serial/by-id"));
    names.extend(links(&root.join("dev/serial/by-path")));
    let mut ports = Vec::new();
    for entry in fs::read_dir(root.join("sys/class/tty"))? {
        let entry = entry?;
        let class = entry.path();
        // Consoles and PTYs have no device behind them.
        let Ok(device) = fs::canonicalize(class.join("device")) else { continue };
        if is_empty_socket(&class) {
            continue;
        }
        let tty = root.join("dev").join(entry.file_name());
        let name = names.iter().find(|(_, target)| *target == tty).map_or(&tty, |(name, _)| name);
        ports.push(SerialPort {
            name: shown(root, name),
            tty: shown(root, &tty),
            driver: driver(&device),
            usb: usb(&device),
        });
    }
    ports.sort_by(|a, b| a.tty.cmp(&b.tty));
    Ok(ports)
}

/// The links of a directory and what they lead to, by name; none if it is absent.
fn links(directory: &Path) -> Vec<(PathBuf, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut links: Vec<_> =
        entries.filter_map(|entry| Some((entry.path(), fs::canonicalize(entry.path()).ok()?))).collect();
    links.sort();
    links
}

/// A place on the mainboard for a UART that is not there (`PORT_UNKNOWN`).
fn is_empty_socket(class: &Path) -> bool {
    fs::read_to_string(class.join("type")).is_ok_and(|kind| kind.trim() == "0")
}

/// The driver's name. Newer kernels put generic `port` and `ctrl` devices between
/// the tty and the hardware; theirs are passed over.
fn driver(device: &Path) -> String {
    let of = |device: &Path| {
        let link = fs::read_link(device.join("driver")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    };
    device.ancestors().filter_map(of).find(|name| name != "port" && name != "ctrl").unwrap_or_default()
}

/// The nearest device above that has USB ids.
fn usb(device: &Path) -> Option<UsbDevice> {
    let device = device.ancestors().find(|it| it.join("idVendor").is_file())?;
    let say = |name: &str| fs::read_to_string(device.join(name)).map(|text| text.trim().to_owned()).unwrap_or_default();
    Some(UsbDevice {
        vendor_id: say("idVendor"),
        product_id: say("idProduct"),
        manufacturer: say("manufacturer"),
        product: say("product"),
        serial_number: say("serial"),
    })
}

/// The path as seen from inside the root.
fn shown(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).map(|path| Path::new("/").join(path)).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Writes a file and what leads to it.
    fn file(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Links `path` to `target`, which is made a directory if it is not there.
    fn link(path: &Path, target: &Path) {
        if !target.exists() {
            fs::create_dir_all(target).unwrap();
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// A machine with an FTDI adapter, a UART, an empty place for one, and a virtual
    /// console: the first two are ports, and the adapter's name is the lasting one.
    #[test]
    fn ports_are_listed_by_lasting_names() {
        let temporary = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(temporary.path()).unwrap();
        let (class, devices) = (root.join("sys/class/tty"), root.join("sys/devices"));

        let adapter = devices.join("usb1/1-2");
        for (name, text) in
            [("idVendor", "0403\n"), ("idProduct", "6001\n"), ("product", "USB-RS232\n"), ("serial", "A1\n")]
        {
            file(&adapter.join(name), text);
        }
        link(&class.join("ttyUSB0/device"), &adapter.join("1-2:1.0/ttyUSB0"));
        link(&adapter.join("1-2:1.0/ttyUSB0/driver"), &root.join("sys/bus/usb-serial/drivers/ftdi_sio"));
        file(&root.join("dev/ttyUSB0"), "");
        link(&root.join("dev/serial/by-id/usb-FTDI_A1-if00-port0"), &root.join("dev/ttyUSB0"));
        link(&root.join("dev/serial/by-path/pci-0-usb-2"), &root.join("dev/ttyUSB0"));

        for (name, kind) in [("ttyS0", "4\n"), ("ttyS1", "0\n")] {
            let port = devices.join(format!("serial8250/{name}:0"));
            link(&class.join(name).join("device"), &port);
            link(&port.join("driver"), &root.join("sys/bus/serial-base/drivers/port"));
            file(&class.join(name).join("type"), kind);
        }
        link(&devices.join("serial8250/driver"), &root.join("sys/bus/platform/drivers/serial8250"));
        fs::create_dir_all(class.join("tty1")).unwrap();

        let uart = SerialPort {
            name: "/dev/ttyS0".into(),
            tty: "/dev/ttyS0".into(),
            driver: "serial8250".to_owned(),
            usb: None,
        };
        let adapter = SerialPort {
            name: "/dev/serial/by-id/usb-FTDI_A1-if00-port0".into(),
            tty: "/dev/ttyUSB0".into(),
            driver: "ftdi_sio".to_owned(),
            usb: Some(UsbDevice {
                vendor_id: "0403".to_owned(),
                product_id: "6001".to_owned(),
                product: "USB-RS232".to_owned(),
                serial_number: "A1".to_owned(),
                ..UsbDevice::default()
            }),
        };
        assert_eq!(list_under(&root).unwrap(), [uart, adapter]);
    }
}
