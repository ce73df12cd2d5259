//! A trained classifier where there is no libtorch: ONNX files, and a runtime for them in pure Rust.
//!
//! Stands on `malaria-dataset` and `malaria-metrics`, and knows nothing of tch. It reads the `weights.safetensors` of a run
//! ([`Weights`]), writes it as ONNX with float32, float16 or int8 weights ([`export`]), and computes such files ([`Model`]) on
//! the cells that `malaria-dataset` decodes, so that the pixels are those of the training. The program `malaria-edge` is glue over it.
//!
//! ```no_run
//! use std::path::Path;
//! use malaria_edge::{Precision, Model, Weights, export};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let weights = Weights::read(Path::new("runs/fast/weights.safetensors"))?;
//! std::fs::write("model.onnx", export(&weights, Precision::Int8, None)?)?;
//!
//! let model = Model::load(&std::fs::read("model.onnx")?)?;
//! println!("classes {:?}", model.description().classes);
//! # Ok(())
//! # }
//! ```

mod classify;
mod description;
mod error;
mod export;
mod graph;
mod model;
mod onnx;
mod toll;
mod weights;

pub use classify::{
    Contents, PatientPrediction, Prediction, classify, not_counted, roll_up, write_cells, write_patients,
};
pub use description::{
    ChosenOn, Description, ImageConfig, NO_THRESHOLD, Threshold, call, most_probable, patient_words,
};
pub use error::{Error, Result};
pub use export::{Origin, Precision, export, write};
pub use model::Model;
pub use toll::{Calls, Lost, Toll, toll};
pub use weights::Weights;
