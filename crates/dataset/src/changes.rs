//! Differences between a data folder and its manifest.

use std::fmt;

use crate::wording::listing;

/// Differences between a data folder and a manifest; moved or renamed files do not count. Paths are relative to the data
/// folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Files of the manifest that are not in the folder.
    pub missing: Vec<String>,
    /// Files of the folder that are not in the manifest.
    pub added: Vec<String>,
    /// Files of both whose contents differ.
    pub changed: Vec<String>,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [("missing", &self.missing), ("added", &self.added), ("changed", &self.changed)];
        let mut separator = "";
        for (what, paths) in kinds.into_iter().filter(|(_, paths)| !paths.is_empty()) {
            write!(f, "{separator}{} {what} ({})", paths.len(), listing(paths))?;
            separator = ", ";
        }
        Ok(())
    }
}
