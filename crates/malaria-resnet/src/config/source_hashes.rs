//! What the paths in the settings led to when the run started.

use serde::{Deserialize, Serialize};

/// SHA-256, in hexadecimal, of the initial weights, the teacher and the list of excluded cells at the start of a run; `None` for
/// what the run has not. Paths differ between machines, and another file may take the place of the first.
///
/// That of weights covers the tensors and the temperature: a cross-validation writes the file of its final model again, with
/// another threshold, when it is pooled for another target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceHashes {
    /// Of the weights of `init`.
    pub init: Option<String>,
    /// Of the weights of `teacher`.
    pub teacher: Option<String>,
    /// Of the file `exclude`.
    pub exclude: Option<String>,
}
