//! Who may ask, and who may change.
//!
//! A page from the web that is open in a browser on this machine can reach the loopback. It gives
//! itself away by the `Host` it thinks it talks to (its own name, made to resolve to the loopback) or
//! by its `Origin`. So both must name this server, for every request; and what changes anything also
//! needs the token, which such a page cannot read.

use std::net::IpAddr;

use hyper::Uri;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};

/// Checks requests.
pub(crate) struct Guard {
    port: u16,
    token: String,
}

impl Guard {
    /// A guard of the server on this port. With an empty token nobody may change anything.
    pub(crate) fn new(port: u16, token: String) -> Self {
        Guard { port, token }
    }

    /// Whether the request means this server, and comes from no foreign page. If not: why.
    pub(crate) fn check_place(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
        let host = single(headers, &HOST).map_err(|()| "there is more than one `Host`")?;
        if !host.is_some_and(|host| self.is_meant_by(host))
            || uri.authority().is_some_and(|authority| !self.is_meant_by(authority.as_str()))
        {
            return Err(
                "the `Host` must be localhost or its address, with the port of this server",
            );
        }
        match single(headers, &ORIGIN) {
            Ok(None) => Ok(()),
            Ok(Some(origin))
                if origin.strip_prefix("http://").is_some_and(|host| self.is_meant_by(host)) =>
            {
                Ok(())
            }
            _ => Err("requests from pages of another origin are refused"),
        }
    }

    /// Whether the request has the token. If not: why.
    pub(crate) fn check_token(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let shown = single(headers, &AUTHORIZATION).ok().flatten().and_then(bearer);
        let shown = shown.ok_or(
            "this needs `Authorization: Bearer` with the token in `admin.token` of the data \
             directory",
        )?;
        if self.token.is_empty() || !same(shown.as_bytes(), self.token.as_bytes()) {
            return Err("this is not the token");
        }
        Ok(())
    }

    /// Whether a host and port are this server's.
    fn is_meant_by(&self, authority: &str) -> bool {
        let (host, port) = match authority.rsplit_once(':') {
            // In `[::1]` the last colon is a part of the address.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, Some(80)),
        };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let loopback = match address {
            Some(v6) => v6.parse().is_ok_and(|v6: std::net::Ipv6Addr| v6.is_loopback()),
            None => {
                host.eq_ignore_ascii_case("localhost")
                    || host.parse().is_ok_and(|host: IpAddr| host.is_ipv4() && host.is_loopback())
            }
        };
        loopback && port == Some(self.port)
    }
}

/// The value of a header that may occur once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares without telling by the time it takes where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    a.len() == b.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn guard() -> Guard {
        Guard::new(9876, "secret".into())
    }

    fn place(uri: &str, headers: &[(HeaderName, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_static(value));
        }
        guard().check_place(&uri.parse().unwrap(), &map).is_ok()
    }

    #[test]
    fn only_names_of_the_loopback_with_the_right_port_are_hosts() {
        for host in ["127.0.0.1:9876", "localhost:9876", "LocalHost:9876", "[::1]:9876"] {
            assert!(place("/", &[(HOST, host)]), "{host}");
        }
        for host in [
            "localhost",
            "localhost:80",
            "127.0.0.1:98760",
            "evil.example:9876",
            "localhost.evil.example:9876",
            "127.0.0.1.evil.example:9876",
            "10.0.0.1:9876",
            "[::2]:9876",
            "::1:9876",
            "[127.0.0.1]:9876",
            "user@localhost:9876",
            "",
        ] {
            assert!(!place("/", &[(HOST, host)]), "{host}");
        }
    }

    #[test]
    fn a_request_without_a_host_or_with_two_is_refused() {
        assert!(!place("/", &[]));
        assert!(!place("/", &[(HOST, "localhost:9876"), (HOST, "localhost:9876")]));
    }

    #[test]
    fn a_target_that_names_another_host_is_refused() {
        let host = (HOST, "localhost:9876");
        assert!(place("http://localhost:9876/", std::slice::from_ref(&host)));
        assert!(!place("http://evil.example:9876/", &[host]));
    }

    #[test]
    fn an_origin_must_be_this_server() {
        let with = |origin| place("/", &[(HOST, "localhost:9876"), (ORIGIN, origin)]);
        assert!(with("http://localhost:9876"));
        assert!(with("http://127.0.0.1:9876"));
        for origin in
            ["null", "http://evil.example", "https://localhost:9876", "http://localhost:3000", ""]
        {
            assert!(!with(origin), "{origin}");
        }
    }

    #[test]
    fn only_the_token_itself_opens() {
        let token = |guard: &Guard, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            guard.check_token(&headers).is_ok()
        };
        assert!(token(&guard(), "Bearer secret"));
        assert!(token(&guard(), "bearer secret"));
        for value in
            ["secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret"]
        {
            assert!(!token(&guard(), value), "{value}");
        }
        assert!(guard().check_token(&HeaderMap::new()).is_err());
    }

    #[test]
    fn an_empty_token_opens_to_nobody() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer "));
        assert!(Guard::new(9876, String::new()).check_token(&headers).is_err());
    }
}
