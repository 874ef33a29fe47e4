//! Writes small MaxMind DB files, for tests and examples: no database of anyone's has to be shipped.
//!
//! The format is that of the "MaxMind DB File Format Specification", version 2.0: a binary search
//! tree of 24-bit records over the bits of an IPv6 address (IPv4 lies below `::/96`), sixteen zero
//! bytes, the data section, and the metadata behind its marker.

use std::net::IpAddr;

/// A value of the data section.
#[derive(Clone, Debug)]
pub enum Mmdb {
    /// A string.
    Text(String),
    /// A number of up to 32 bits.
    Number(u32),
    /// Values by key.
    Map(Vec<(String, Mmdb)>),
    /// Values in order.
    List(Vec<Mmdb>),
}

impl Mmdb {
    /// A string.
    #[must_use]
    pub fn text(text: &str) -> Mmdb {
        Mmdb::Text(text.to_owned())
    }

    /// Values by key.
    #[must_use]
    pub fn map<const N: usize>(entries: [(&str, Mmdb); N]) -> Mmdb {
        Mmdb::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Mmdb::Text(text) => {
                control(2, text.len(), out);
                out.extend_from_slice(text.as_bytes());
            }
            Mmdb::Number(number) => {
                control(6, 4, out);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Mmdb::Map(entries) => {
                control(7, entries.len(), out);
                for (key, value) in entries {
                    Mmdb::text(key).write(out);
                    value.write(out);
                }
            }
            Mmdb::List(items) => {
                control(11, items.len(), out);
                items.iter().for_each(|item| item.write(out));
            }
        }
    }
}

/// The byte that tells type and size, with its extensions.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (low, more) = match size {
        0..29 => (size as u8, None),
        29..285 => (29, Some((size - 29) as u8)),
        _ => panic!("a test database has no value of {size} bytes"),
    };
    match kind {
        1..=7 => out.push(kind << 5 | low),
        _ => out.extend_from_slice(&[low, kind - 7]),
    }
    out.extend(more);
}

#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    /// The offset of a value in the data section.
    Data(usize),
}

/// The bytes of a database of these networks, such as `("81.2.69.0/24", …)`; of two that overlap,
/// the longer one stands later.
///
/// # Panics
/// If a network is not one, or is within one that stands later.
#[must_use]
pub fn mmdb(networks: &[(&str, Mmdb)]) -> Vec<u8> {
    let mut nodes = vec![[Record::Empty; 2]];
    let mut data = Vec::new();
    for (network, value) in networks {
        let offset = data.len();
        value.write(&mut data);
        insert(&mut nodes, network, offset);
    }

    let mut out = Vec::new();
    for record in nodes.iter().flatten() {
        let number = match *record {
            Record::Empty => nodes.len(),
            Record::Node(node) => node,
            Record::Data(offset) => nodes.len() + 16 + offset,
        };
        out.extend_from_slice(&u32::try_from(number).expect("a small database").to_be_bytes()[1..]);
    }
    out.extend_from_slice(&[0; 16]);
    out.extend_from_slice(&data);
    out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    metadata(nodes.len(), &mut out);
    out
}

fn insert(nodes: &mut Vec<[Record; 2]>, network: &str, offset: usize) {
    let (address, length) = network.split_once('/').expect("a network is address/length");
    let length: u32 = length.parse().expect("a network's length is a number");
    let (bits, length) = match address.parse().expect("a network's address") {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), length + 96),
        IpAddr::V6(v6) => (u128::from(v6), length),
    };
    let mut node = 0;
    for depth in 0..length {
        let bit = (bits >> (127 - depth) & 1) as usize;
        if depth + 1 == length {
            assert!(!matches!(nodes[node][bit], Record::Node(_)), "{network} hides a longer one");
            nodes[node][bit] = Record::Data(offset);
            return;
        }
        node = match nodes[node][bit] {
            Record::Node(next) => next,
            // What held for the whole network goes on to hold for the rest of it.
            above => {
                nodes.push([above; 2]);
                nodes[node][bit] = Record::Node(nodes.len() - 1);
                nodes.len() - 1
            }
        };
    }
}

fn metadata(node_count: usize, out: &mut Vec<u8>) {
    let node_count = u32::try_from(node_count).expect("a small database").to_be_bytes();
    // The type of each number is part of the format: 5 has 16 bits, 6 has 32, 9 has 64.
    let numbers: [(&str, u8, &[u8]); 6] = [
        ("binary_format_major_version", 5, &[0, 2]),
        ("binary_format_minor_version", 5, &[0, 0]),
        // The same bytes at every writing.
        ("build_epoch", 9, &[0; 8]),
        ("ip_version", 5, &[0, 6]),
        ("node_count", 6, &node_count),
        ("record_size", 5, &[0, 24]),
    ];
    let others = [
        ("database_type", Mmdb::text("dpipe-example")),
        ("description", Mmdb::map([("en", Mmdb::text("A few networks, for examples"))])),
        ("languages", Mmdb::List(vec![Mmdb::text("en")])),
    ];
    control(7, numbers.len() + others.len(), out);
    for (key, kind, bytes) in numbers {
        Mmdb::text(key).write(out);
        control(kind, bytes.len(), out);
        out.extend_from_slice(bytes);
    }
    for (key, value) in others {
        Mmdb::text(key).write(out);
        value.write(out);
    }
}
