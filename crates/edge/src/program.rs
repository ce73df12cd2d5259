//! What all subcommands use: the name of the program, its models, and progress bars.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use malaria_classifier::Provenance;
use malaria_edge::Model;
use serde_json::{Value, json};

/// Name and version, as in results.
pub(crate) const PROGRAM: &str = concat!("malaria-edge ", env!("CARGO_PKG_VERSION"));
/// A copy of `data/pretrained/field-int8.onnx`, since a package contains only files below its own folder.
pub(crate) static PRETRAINED: &[u8] = include_bytes!("../field-int8.onnx");
/// The name of [`pretrained`] in results.
pub(crate) const PRETRAINED_NAME: &str = "field-int8.onnx";
/// The end of every help.
pub(crate) const NOTICE: &str = "Research software, not a medical device.";

/// A progress bar that counts `things`.
pub(crate) fn bar(things: &str) -> Result<ProgressBar> {
    let style =
        ProgressStyle::with_template(&format!("{{bar:40}} {{pos}} of {{len}} {things}, {{eta}} left"))?;
    Ok(ProgressBar::no_length().with_style(style))
}

pub(crate) fn load(path: &Path) -> Result<Model> {
    ensure!(
        !path.is_dir(),
        "{}: expected a model, FILE.onnx, found a folder; `malaria export --run RUN_DIR --out FILE.onnx` \
         exports a run",
        path.display()
    );
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let named = path.extension().is_some_and(|found| found.eq_ignore_ascii_case("onnx"));
    Model::load(&bytes).with_context(|| match named {
        true => path.display().to_string(),
        false => format!("{}: expected a model, FILE.onnx, before the pictures", path.display()),
    })
}

/// The model that the program contains.
pub(crate) fn pretrained() -> Result<Model> {
    Ok(Model::load(PRETRAINED)?)
}

/// The name of a file without its folder.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The origin of results: this program and `model`, called `name`.
pub(crate) fn made_by(model: &Model, name: String) -> Provenance {
    Provenance { program: PROGRAM.to_owned(), model: name, model_sha256: model.sha256().to_owned() }
}

/// The JSON document that describes a model.
pub(crate) fn description(model: &Model) -> Value {
    let description = model.description();
    json!({ "description": description, "rule": description.calling_note(), "origin": model.origin() })
}

#[cfg(test)]
mod tests {
    use super::PRETRAINED;

    #[test]
    fn the_model_in_the_program_is_that_of_data_pretrained() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/pretrained/field-int8.onnx");
        assert!(
            std::fs::read(path).unwrap() == PRETRAINED,
            "copy data/pretrained/field-int8.onnx to crates/edge"
        );
    }
}
