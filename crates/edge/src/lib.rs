//! A trained classifier where there is no libtorch: ONNX files, and a runtime for them in pure Rust.
//!
//! Stands on `malaria-classifier`, and knows nothing of tch. It writes a weights file as ONNX with float32, float16 or int8 weights
//! ([`export`]), and computes such files ([`Model`]) on the cells that `malaria-dataset` decodes, so that the pixels are those of
//! the training. The program `malaria-edge` is glue over it.
//!
//! ```no_run
//! use std::path::Path;
//! use malaria_classifier::WeightsFile;
//! use malaria_edge::{Model, WeightFormat, export};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let weights = WeightsFile::read(Path::new("runs/fast/weights.safetensors"))?;
//! std::fs::write("model.onnx", export(&weights, WeightFormat::Int8, None)?)?;
//!
//! let model = Model::load(&std::fs::read("model.onnx")?)?;
//! println!("classes {:?}", model.description().classes);
//! # Ok(())
//! # }
//! ```

mod error;
mod expand;
mod export;
mod fold;
mod format;
mod graph;
mod model;
mod onnx;
mod quantization_loss;
mod values;

pub use error::{Error, Result};
pub use export::{Origin, export, write};
pub use format::WeightFormat;
pub use model::Model;
pub use quantization_loss::{CellCalls, LossEstimate, QuantizationLoss, quantization_loss};
