//! Settings of a download.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::fingerprint::sha256_from_hex;

/// Addresses, checksum, limits and patience of a download.
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
    /// SHA-256 of the archive in 64 hexadecimal digits. Default `0a949556…43c668`.
    pub expected_sha256: String,
    /// Number of images in each of the folders `Parasitized` and `Uninfected`. Default 13,779.
    pub images_per_class: usize,
    /// Largest total size in bytes of the unpacked images. Default 2 GiB.
    pub max_bytes: u64,
    /// Largest number of files and folders in the archive. Default 100,000.
    pub max_entries: usize,
    /// Time limit for connecting. Default 15 seconds.
    pub connect_timeout: Duration,
    /// Time limit for a server that sends nothing. Default 30 seconds.
    pub stall_timeout: Duration,
    /// Number of retries per address without any progress. Default 5.
    pub retries: u32,
    /// Wait before the first retry; it doubles with each retry, up to a minute. Default 1 second.
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
            images_per_class: 13_779,
            max_bytes: 2 << 30,
            max_entries: 100_000,
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(30),
            retries: 5,
            first_wait: Duration::from_secs(1),
        }
    }
}

impl DownloadConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no address or an invalid one, or if the hash is not 64 hexadecimal digits.
    pub fn check(&self) -> Result<()> {
        if self.urls.is_empty() {
            return Err(Error::config("urls", "empty", "at least one address"));
        }
        if let Some(url) = self.urls.iter().find(|url| !is_web(url)) {
            let expected = "addresses that begin with http:// or https:// and a host";
            return Err(Error::config("urls", format_args!("`{url}`"), expected));
        }
        if sha256_from_hex(&self.expected_sha256).is_none() {
            let found = format_args!("`{}`", self.expected_sha256);
            return Err(Error::config("expected_sha256", found, "64 hexadecimal digits"));
        }
        Ok(())
    }
}

fn is_web(url: &str) -> bool {
    url.parse::<ureq::http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}
