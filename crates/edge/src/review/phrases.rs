//! The texts of the page and of the report in several languages.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use malaria_metrics::percent;

/// The languages by their two-letter codes, each with its texts as a JSON object.
pub(crate) const LANGUAGES: [(&str, &str); 4] = [
    ("en", include_str!("phrases/en.json")),
    ("es", include_str!("phrases/es.json")),
    ("fr", include_str!("phrases/fr.json")),
    ("pt", include_str!("phrases/pt.json")),
];

/// The texts of one language by their keys.
pub(crate) struct Phrases(BTreeMap<String, String>);

impl Phrases {
    /// The texts of a language.
    ///
    /// # Errors
    /// A language that is not among [`LANGUAGES`].
    pub(crate) fn of(language: &str) -> Result<Self> {
        let known = LANGUAGES.iter().find(|(known, _)| *known == language);
        let (_, texts) = known.with_context(|| {
            let names = LANGUAGES.map(|(language, _)| language).join(", ");
            format!("expected one of the languages {names}, found `{language}`")
        })?;
        Ok(Self(serde_json::from_str(texts)?))
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

    use malaria_smear::Caveat;
    use strum::IntoEnumIterator;

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

    /// The keys that are composed of a stem and a kind.
    fn composed() -> Vec<String> {
        let kinds = ["red-cell", "white-cell", "platelet", "debris", "clump", "added"]
            .map(|kind| format!("kind.{kind}"));
        let judgements =
            ["infected", "uninfected", "no-red-cell", "none"].map(|kind| format!("judge.{kind}"));
        let calls =
            ["positive", "not-detected", "too-few-cells", "not-called"].map(|kind| format!("call.{kind}"));
        let refusals = ["photo", "too-small", "dark", "not-thin-smear", "cells-too-small"]
            .map(|key| format!("refusal.{key}"));
        let caveats = Caveat::iter().map(|caveat| format!("caveat.{}", caveat.key()));
        kinds.into_iter().chain(judgements).chain(calls).chain(refusals).chain(caveats).collect()
    }

    #[test]
    #[cfg(feature = "serve")]
    fn every_text_is_used_and_every_used_text_exists() {
        use crate::serve::files::{SMEAR_PAGE, SMEAR_SCRIPTS};
        let mut sources = vec![include_str!("report.rs"), include_str!("phrases.rs"), SMEAR_PAGE];
        sources.extend(SMEAR_SCRIPTS.map(|(_, script)| script));
        let english = texts("en");
        let composed = composed();
        for key in &composed {
            assert!(english.contains_key(key), "{key} is not a key");
        }
        for key in english.keys().filter(|key| !composed.contains(key)) {
            assert!(sources.iter().any(|source| source.contains(&format!("\"{key}\""))), "{key} is not used");
        }
        // Everything that looks like a key.
        let stems: BTreeSet<&str> =
            english.keys().filter_map(|key| key.split_once('.')).map(|(stem, _)| stem).collect();
        let is_key = |text: &&str| {
            let plain = text.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '.');
            plain
                && text.split_once('.').is_some_and(|(stem, rest)| {
                    stems.contains(stem)
                        && !rest.is_empty()
                        && !rest.contains('.')
                        && !["css", "rs", "html"].contains(&rest)
                })
        };
        for key in sources.iter().flat_map(|source| source.split('"')).filter(is_key) {
            assert!(english.contains_key(key), "{key} is not a key");
        }
    }
}
