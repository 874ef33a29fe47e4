//! What an answer means.

use super::client::Answer;

/// What becomes of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They have arrived.
    Delivered,
    /// They are too many at a time.
    Halve,
    /// They come again later.
    Retry {
        /// Whether the credentials are the cause, which time does not mend.
        is_forbidden: bool,
    },
    /// The server will not have them.
    Refuse,
}

/// The rules, with what the configuration changes.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    retry_on: Box<[u16]>,
    refuse_on: Box<[u16]>,
}

impl Rules {
    pub(super) fn new(retry_on: &[u16], refuse_on: &[u16]) -> Rules {
        Rules { retry_on: retry_on.into(), refuse_on: refuse_on.into() }
    }

    pub(super) fn judge(&self, answer: &Answer) -> Verdict {
        let status = answer.status;
        if self.refuse_on.contains(&status) {
            return Verdict::Refuse;
        }
        if self.retry_on.contains(&status) {
            return Verdict::Retry { is_forbidden: false };
        }
        match status {
            200..300 => Verdict::Delivered,
            413 => Verdict::Halve,
            401 | 403 => Verdict::Retry { is_forbidden: true },
            408 | 425 | 429 | 500..600 => Verdict::Retry { is_forbidden: false },
            _ => Verdict::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_mean_what_the_table_says_unless_the_configuration_does() {
        let rules = Rules::new(&[404], &[500, 401]);
        let verdict = |status| rules.judge(&Answer::of_status(status));
        for status in [200, 201, 204] {
            assert_eq!(verdict(status), Verdict::Delivered);
        }
        for status in [404, 408, 425, 429, 502, 503] {
            assert_eq!(verdict(status), Verdict::Retry { is_forbidden: false }, "{status}");
        }
        assert_eq!(verdict(403), Verdict::Retry { is_forbidden: true });
        assert_eq!(verdict(413), Verdict::Halve);
        for status in [301, 400, 401, 422, 500] {
            assert_eq!(verdict(status), Verdict::Refuse, "{status}");
        }
    }
}
