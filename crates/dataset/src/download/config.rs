//! Settings of a download.

use std::time::Duration;

use crate::error::{Error, Result};

/// Addresses, checksum and time limits of a download.
///
/// The default is the NIH's set of 27,558 cells. Neither NLM nor the paper publishes a hash of the archive; TensorFlow
/// Datasets publishes its size and SHA-256 (`tensorflow_datasets/datasets/malaria/checksums.tsv`, previously
/// `url_checksums/malaria.txt`), the same for both addresses.
#[derive(Debug, Clone, PartialEq)]
pub struct DownloadConfig {
    /// Addresses of the archive, `http://` or `https://`, in the order in which they are tried. Default: NLM's
    /// <https://data.lhncbc.nlm.nih.gov/public/Malaria/cell_images.zip>, then its former
    /// <https://ceb.nlm.nih.gov/proj/malaria/cell_images.zip>.
    pub urls: Vec<String>,
    /// Size of the archive in bytes. Default 353,452,851.
    pub expected_bytes: u64,
    /// SHA-256 of the archive in 64 lower-case hexadecimal digits. Default `0a949556…43c668`.
    pub expected_sha256: String,
    /// Number of images in the archive. Default 27,558.
    pub images: usize,
    /// Time limit for a server that sends nothing. Default 30 seconds.
    pub stall_timeout: Duration,
    /// Number of retries per address without any progress. Default 5.
    pub retries: u32,
    /// Wait before the first retry; it doubles with each retry. Default 1 second.
    pub first_wait: Duration,
}

impl Default for DownloadConfig {
    fn default() -> Self {
        Self {
            urls: vec![
                "https://data.lhncbc.nlm.nih.gov/public/Malaria/cell_images.zip".to_owned(),
                "https://ceb.nlm.nih.gov/proj/malaria/cell_images.zip".to_owned(),
            ],
            expected_bytes: 353_452_851,
            expected_sha256: "0a949556b2414159b5100192609805376654c4266d8d187be9b1922fad43c668".to_owned(),
            images: 27_558,
            stall_timeout: Duration::from_secs(30),
            retries: 5,
            first_wait: Duration::from_secs(1),
        }
    }
}

impl DownloadConfig {
    /// Checks the addresses.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none, or one that does not begin with `http://` or `https://`.
    pub fn check(&self) -> Result<()> {
        let is_web = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if self.urls.is_empty() || !self.urls.iter().all(is_web) {
            let expected = "one or more addresses that begin with http:// or https://";
            return Err(Error::config("urls", format_args!("{:?}", self.urls), expected));
        }
        Ok(())
    }
}
