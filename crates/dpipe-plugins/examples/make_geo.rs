//! Writes `examples/data/geo.mmdb`: the few networks that the sample logs come from.
//!
//! The countries of these networks are public knowledge; the autonomous systems are made up, with
//! numbers from the range that RFC 5398 keeps for documentation.
//!
//! ```sh
//! cargo run -p dpipe-plugins --example make_geo -- examples/data/geo.mmdb
//! ```

use dpipe_testkit::{Mmdb, mmdb};

struct Network {
    network: &'static str,
    country: (&'static str, &'static str),
    city: Option<&'static str>,
    system: (u32, &'static str),
}

const fn network(
    network: &'static str,
    country: (&'static str, &'static str),
    city: Option<&'static str>,
    system: (u32, &'static str),
) -> Network {
    Network { network, country, city, system }
}

const NETWORKS: &[Network] = &[
    network(
        "81.2.69.0/24",
        ("GB", "United Kingdom"),
        Some("London"),
        (64496, "Example Networks UK"),
    ),
    network("81.65.52.0/24", ("FR", "France"), Some("Paris"), (64497, "Exemple Telecom")),
    network("2a01:e0a::/32", ("FR", "France"), None, (64497, "Exemple Telecom")),
    network("8.8.8.0/24", ("US", "United States"), None, (64498, "Example Resolver")),
    network("216.160.83.0/24", ("US", "United States"), Some("Milton"), (64499, "Example Cable")),
    network("175.16.199.0/24", ("CN", "China"), Some("Changchun"), (64500, "Example Backbone")),
    network("89.160.20.0/24", ("SE", "Sweden"), Some("Linköping"), (64501, "Exempel Bredband")),
    network("202.196.224.0/20", ("PH", "Philippines"), Some("Manila"), (64502, "Example Islands")),
    network("133.11.0.0/16", ("JP", "Japan"), Some("Tokyo"), (64503, "Example University")),
    network("200.147.0.0/16", ("BR", "Brazil"), Some("São Paulo"), (64504, "Exemplo Online")),
];

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "examples/data/geo.mmdb".into());
    let records: Vec<(&str, Mmdb)> =
        NETWORKS.iter().map(|network| (network.network, record(network))).collect();
    std::fs::write(path, mmdb(&records))
}

fn record(network: &Network) -> Mmdb {
    let names = |name: &str| Mmdb::map([("en", Mmdb::text(name))]);
    let (code, country) = network.country;
    let (number, organization) = network.system;
    let mut entries = vec![
        ("autonomous_system_number", Mmdb::Number(number)),
        ("autonomous_system_organization", Mmdb::text(organization)),
        ("country", Mmdb::map([("iso_code", Mmdb::text(code)), ("names", names(country))])),
    ];
    if let Some(city) = network.city {
        entries.push(("city", Mmdb::map([("names", names(city))])));
    }
    Mmdb::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
