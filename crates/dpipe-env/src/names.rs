//! Names of machines in the network.

use std::io;
use std::net::IpAddr;

use dns_lookup::{LookupError, LookupErrorKind};

/// Look-ups of names and addresses. They block, for seconds where a server does not answer: whoever
/// asks does it on a thread that may wait.
pub trait Names: Send + Sync {
    /// The name of an address; none if it has none.
    ///
    /// # Errors
    /// If nobody could be asked, or nobody answered.
    fn name_of(&self, address: IpAddr) -> io::Result<Option<String>>;

    /// The addresses of a name, as they were told; empty if there is no such name.
    ///
    /// # Errors
    /// If nobody could be asked, or nobody answered.
    fn addresses_of(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// A world without names.
pub(crate) struct NoNames;

impl Names for NoNames {
    fn name_of(&self, _: IpAddr) -> io::Result<Option<String>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn addresses_of(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What the system's resolver says: its files, its servers, whatever it is set up to ask.
pub(crate) struct SystemNames;

impl Names for SystemNames {
    fn name_of(&self, address: IpAddr) -> io::Result<Option<String>> {
        told(dns_lookup::lookup_addr(&address))
    }

    fn addresses_of(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut addresses: Vec<IpAddr> =
            told(dns_lookup::lookup_host(name))?.into_iter().flatten().collect();
        // An address may be told once for each kind of socket.
        let mut seen = Vec::new();
        addresses.retain(|address| {
            let is_new = !seen.contains(address);
            seen.push(*address);
            is_new
        });
        Ok(addresses)
    }
}

fn told<T>(answer: Result<T, LookupError>) -> io::Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.kind() {
            LookupErrorKind::NoName | LookupErrorKind::NoData => Ok(None),
            _ => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_knows_its_own_address() {
        let addresses = SystemNames.addresses_of("localhost").unwrap();
        assert!(addresses.iter().any(IpAddr::is_loopback), "{addresses:?}");
        let distinct: std::collections::HashSet<_> = addresses.iter().collect();
        assert_eq!(distinct.len(), addresses.len());
    }

    #[test]
    fn an_address_is_its_own_answer() {
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(SystemNames.addresses_of("192.0.2.7").unwrap(), [address]);
    }
}
