//! "Did you mean …?"

/// The candidate that was most likely meant, if any is near enough to be worth proposing.
///
/// Case and the choice between `-` and `_` never count as a difference; a longer word may be
/// further off than a short one.
#[must_use]
pub fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>,
) -> Option<&'a str> {
    let wanted = folded(word);
    let far_at_most = (wanted.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(AsRef::as_ref)
        .map(|candidate| (distance(&wanted, &folded(candidate)), candidate))
        .filter(|(distance, _)| *distance <= far_at_most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The help for a name that does not exist: the nearest one, else all there are.
#[must_use]
pub fn suggest<'a, S: AsRef<str> + ?Sized + 'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a S> + Clone,
) -> Option<String> {
    /// More names than this do not help anybody.
    const LISTED_MAX: usize = 24;

    if let Some(near) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let names: Vec<_> = candidates.into_iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match names.len() {
        0 => None,
        1..=LISTED_MAX => Some(format!("there is {}", names.join(", "))),
        n => {
            Some(format!("there is {} and {} more", names[..LISTED_MAX].join(", "), n - LISTED_MAX))
        }
    }
}

fn folded(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

/// Edits between two words; a word that is the start of the other (`mem` for `memory`) is near.
fn distance(wanted: &str, candidate: &str) -> usize {
    if wanted.len() >= 3 && candidate.starts_with(wanted) {
        return 1;
    }
    strsim::damerau_levenshtein(wanted, candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["include", "exclude", "read_from", "codec"];

    #[test]
    fn a_misspelled_name_gets_the_nearest_one() {
        assert_eq!(nearest("inclued", NAMES), Some("include"));
        assert_eq!(nearest("Read-From", NAMES), Some("read_from"));
        assert_eq!(nearest("cod", NAMES), Some("codec"));
    }

    #[test]
    fn a_name_far_from_everything_gets_none() {
        assert_eq!(nearest("window", NAMES), None);
        assert_eq!(nearest("x", NAMES), None);
        assert_eq!(nearest("", NAMES), None);
    }

    #[test]
    fn help_lists_all_names_when_none_is_near() {
        assert_eq!(suggest("codek", NAMES).unwrap(), "did you mean `codec`?");
        assert_eq!(
            suggest("window", NAMES).unwrap(),
            "there is `include`, `exclude`, `read_from`, `codec`"
        );
        assert_eq!(suggest("window", [""; 0]), None);
    }
}
