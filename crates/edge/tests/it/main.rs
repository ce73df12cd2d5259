//! The library against ONNX Runtime, and the program `malaria-edge`.

#[cfg(feature = "serve")]
mod browser;
#[cfg(feature = "program")]
mod calibrate;
#[cfg(feature = "serve")]
#[path = "../../../cli/tests/it/documents.rs"]
mod documents;
#[cfg(all(feature = "program", target_os = "linux"))]
#[path = "../../../cli/tests/it/interrupted.rs"]
mod interrupted;
mod onnxruntime;
#[cfg(feature = "serve")]
mod phone_page;
#[cfg(feature = "program")]
mod program;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "serve")]
mod serve_page;
#[cfg(feature = "serve")]
mod server;
#[cfg(feature = "program")]
mod smear;
#[cfg(feature = "serve")]
mod smear_page;
#[cfg(all(feature = "program", target_os = "linux"))]
mod stopped;
#[cfg(feature = "program")]
mod verify;
