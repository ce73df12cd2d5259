//! The texts of page and report in several languages.

use std::collections::BTreeMap;

use malaria_metrics::percent;

/// The languages by their two letters, each with its texts: a JSON object.
pub(crate) const LANGUAGES: [(&str, &str); 4] = [
    ("en", include_str!("phrases/en.json")),
    ("es", include_str!("phrases/es.json")),
    ("fr", include_str!("phrases/fr.json")),
    ("pt", include_str!("phrases/pt.json")),
];

/// The texts of one language by their keys.
pub(crate) struct Phrases(BTreeMap<String, String>);

impl Phrases {
    /// The texts of a language; English for one that is not known.
    pub(crate) fn of(language: &str) -> Self {
        let known = LANGUAGES.iter().find(|(known, _)| *known == language);
        let (_, texts) = known.unwrap_or(&LANGUAGES[0]);
        // The files are part of the program, and a test reads them all.
        Self(serde_json::from_str(texts).unwrap_or_default())
    }

    /// The text of `key`; the key itself if there is none.
    pub(crate) fn text<'a>(&'a self, key: &'a str) -> &'a str {
        self.0.get(key).map_or(key, String::as_str)
    }

    /// The text of `key` with `{name}` replaced by its value.
    pub(crate) fn with(&self, key: &str, values: &[(&str, &str)]) -> String {
        values.iter().fold(self.text(key).to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
    }

    /// A share as a percentage.
    pub(crate) fn percent(&self, share: f64) -> String {
        percent(Some(share)).replace('.', self.text("decimal"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn texts(language: &str) -> BTreeMap<String, String> {
        let (_, texts) = LANGUAGES.iter().find(|(known, _)| *known == language).unwrap();
        serde_json::from_str(texts).unwrap()
    }

    /// The names in braces of a text.
    fn names(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    #[test]
    fn every_language_has_every_text_with_the_same_values() {
        let english = texts("en");
        for (language, _) in LANGUAGES {
            let translated = texts(language);
            assert!(english.keys().eq(translated.keys()), "{language}: {:?}", {
                let [a, b] = [&english, &translated].map(|texts| texts.keys().collect::<BTreeSet<_>>());
                a.symmetric_difference(&b).copied().cloned().collect::<Vec<_>>()
            });
            for (key, text) in &english {
                assert_eq!(names(text), names(&translated[key]), "{language}: {key}");
                assert!(!translated[key].trim().is_empty(), "{language}: {key}");
            }
        }
    }

    #[test]
    fn every_text_is_used_and_every_used_one_is_there() {
        let sources = [
            include_str!("report.rs"),
            include_str!("phrases.rs"),
            include_str!("../serve/smear.html"),
            include_str!("../serve/smear.js"),
        ];
        // Those of kinds are composed of a stem and the kind.
        let stems = ["call.", "caveat.", "refusal.", "judge.", "kind."];
        let english = texts("en");
        for key in english.keys().filter(|key| !stems.iter().any(|stem| key.starts_with(stem))) {
            assert!(sources.iter().any(|source| source.contains(&format!("\"{key}\""))), "{key} is not used");
        }
        for start in ["data-text=\"", "data-label=\"", "data-hint=\"", "text(\"", "with(\"", "filled(\""] {
            for source in sources {
                // Not `getContext("2d")`.
                let whole = |at: usize| !source[..at].ends_with(|last: char| last.is_alphanumeric());
                let starts = source.match_indices(start).filter(|(at, _)| whole(*at));
                for key in starts.filter_map(|(at, _)| source[at + start.len()..].split('"').next()) {
                    let composed = key.contains(['{', '\\']);
                    assert!(composed || english.contains_key(key), "{key} is no key");
                }
            }
        }
    }
}
