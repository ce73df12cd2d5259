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
    use std::{collections::BTreeSet, fs, path::Path};

    use malaria_dataset::{ImageProblem, InputWarning};
    use malaria_smear::{Caveat, Judgement, Kind};
    use serde::Serialize;
    use strum::{IntoEnumIterator, VariantNames};

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

    /// The name of a value without fields in JSON.
    fn name(value: impl Serialize) -> String {
        let name = serde_json::to_value(value).unwrap();
        name.as_str().unwrap().to_owned()
    }

    /// The keys that are composed of a stem and a name.
    fn composed() -> Vec<String> {
        let kinds = Kind::iter().map(|kind| format!("kind.{kind}"));
        let judgements = Judgement::iter().map(name).chain(["none".to_owned()]);
        let judgements = judgements.map(|name| format!("judge.{name}"));
        // A blank photograph has a caveat, and the others are not errors of a photograph.
        let others = ["blank", "metrics", "inside", "results", "annotated", "reviewed-smear", "write"];
        let refusals = malaria_smear::Error::VARIANTS.iter().filter(|name| !others.contains(name));
        let refusals = refusals.map(|name| format!("refusal.{name}"));
        let problems = ImageProblem::iter().map(|problem| format!("refusal.photo-{}", problem.key()));
        let caveats = Caveat::iter().map(|caveat| format!("caveat.{}", caveat.key()));
        let warnings = InputWarning::iter().map(|warning| format!("warning.{}", name(warning)));
        let keys = kinds.chain(judgements).chain(refusals).chain(problems);
        keys.chain(caveats).chain(warnings).collect()
    }

    /// The sources of the program and of the pages in a folder and below it.
    fn sources(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(sources(&path));
            } else if let Some("rs" | "js" | "html") = path.extension().and_then(|kind| kind.to_str()) {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
        found
    }

    #[test]
    fn every_text_is_used_and_every_used_text_exists() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let sources = ["review", "serve"].map(|folder| sources(&source.join(folder))).concat();
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
                        && !["css", "csv", "rs", "html"].contains(&rest)
                })
        };
        for key in sources.iter().flat_map(|source| source.split('"')).filter(is_key) {
            assert!(english.contains_key(key), "{key} is not a key");
        }
    }

    /// The terminal and the page say the same.
    #[test]
    fn caveats_and_warnings_have_one_wording() {
        let english = texts("en");
        for caveat in Caveat::iter() {
            assert_eq!(english[&format!("caveat.{}", caveat.key())], caveat.to_string());
        }
        for warning in InputWarning::iter() {
            assert_eq!(english[&format!("warning.{}", name(warning))], warning.to_string());
        }
    }
}
