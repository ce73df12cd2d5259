//! Hashes of the files that the settings named when the run started.

use serde::{Deserialize, Serialize};

/// SHA-256, in hexadecimal, of the initial weights, the teacher and the list of excluded cells at the start of a run; `None`
/// for those that the run does not have. Paths are not enough: they differ between machines, and a file may be replaced by
/// another one.
///
/// The hash of weights covers the tensors and the temperature, not the threshold: a cross-validation rewrites the file of
/// its final model with another threshold when it is pooled for another target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceHashes {
    /// SHA-256 of the weights of `init`.
    pub init: Option<String>,
    /// SHA-256 of the weights of `teacher`.
    pub teacher: Option<String>,
    /// SHA-256 of the file `exclude`.
    pub exclude: Option<String>,
}
