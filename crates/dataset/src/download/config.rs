//! Where the cells are to be had, and what is known of them.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::fingerprint::sha256_from_hex;

/// Where to download from, what to expect, and how patient to be.
///
/// The default is the NIH's set of 27,558 cells. Neither NLM nor the paper gives a hash of the archive; TensorFlow
/// Datasets publishes its size and SHA-256 (`tensorflow_datasets/datasets/malaria/checksums.tsv`, before that
/// `url_checksums/malaria.txt`), the same for both of its addresses over the years. To take an archive as it comes,
/// set both to `None`: then the number of images in it is the proof.
#[derive(Debug, Clone, PartialEq)]
pub struct DownloadConfig {
    /// Addresses of the archive, `http://` or `https://`, in the order in which they are tried. Default: NLM's
    /// <https://data.lhncbc.nlm.nih.gov/public/Malaria/cell_images.zip>, then its former one,
    /// <https://ceb.nlm.nih.gov/proj/malaria/cell_images.zip>.
    pub urls: Vec<String>,
    /// Size of the archive in bytes. Default 353,452,851.
    pub expected_bytes: Option<u64>,
    /// SHA-256 of the archive in 64 hexadecimal digits. Default `0a949556…43c668`.
    pub expected_sha256: Option<String>,
    /// Number of PNG images in each of the folders `Parasitized` and `Uninfected`. Default 13,779.
    pub images_per_class: usize,
    /// Size in bytes that neither the archive nor all that it unpacks to may exceed. Default 2 GiB.
    pub max_bytes: u64,
    /// Number of files and folders that the archive may hold. Default 100,000.
    pub max_entries: usize,
    /// How long a connection may take to be made. Default 15 seconds.
    pub connect_timeout: Duration,
    /// How long a server may send nothing before the connection is given up. Default 30 seconds.
    pub stall_timeout: Duration,
    /// How often one address is tried again without getting further than before. Default 5.
    pub retries: u32,
    /// How long to wait before the first retry; it doubles each time, up to a minute. Default 1 second.
    pub first_wait: Duration,
}

impl Default for DownloadConfig {
    fn default() -> Self {
        Self {
            urls: vec![
                "https://data.lhncbc.nlm.nih.gov/public/Malaria/cell_images.zip".to_owned(),
                "https://ceb.nlm.nih.gov/proj/malaria/cell_images.zip".to_owned(),
            ],
            expected_bytes: Some(353_452_851),
            expected_sha256: Some(
                "0a949556b2414159b5100192609805376654c4266d8d187be9b1922fad43c668".to_owned(),
            ),
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
    /// Refuses settings that cannot lead to anything.
    ///
    /// # Errors
    /// [`Error::BadSetting`] where there is no address or one is not of the web, the hash is not one, or a number
    /// or a duration is 0 (retries and the first wait may be).
    pub fn check(&self) -> Result<()> {
        let bad = |field, found: String, expected| Err(Error::BadSetting { field, found, expected });
        if self.urls.is_empty() {
            return bad("urls", "empty".to_owned(), "at least one address");
        }
        if let Some(url) = self.urls.iter().find(|url| !is_web(url)) {
            return bad(
                "urls",
                format!("`{url}`"),
                "addresses that begin with http:// or https:// and a host",
            );
        }
        if let Some(hash) = self.expected_sha256.as_ref().filter(|hash| sha256_from_hex(hash).is_none()) {
            return bad("expected_sha256", format!("`{hash}`"), "64 hexadecimal digits");
        }
        let counts = [
            ("images_per_class", self.images_per_class as u64),
            ("max_bytes", self.max_bytes),
            ("max_entries", self.max_entries as u64),
            ("expected_bytes", self.expected_bytes.unwrap_or(1)),
        ];
        if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return bad(field, "0".to_owned(), "a number above 0");
        }
        if self.expected_bytes.is_some_and(|bytes| bytes > self.max_bytes) {
            return bad("max_bytes", self.max_bytes.to_string(), "at least expected_bytes");
        }
        let durations = [("connect_timeout", self.connect_timeout), ("stall_timeout", self.stall_timeout)];
        if let Some((field, _)) = durations.into_iter().find(|(_, duration)| duration.is_zero()) {
            return bad(field, "0".to_owned(), "a time above 0");
        }
        Ok(())
    }
}

fn is_web(url: &str) -> bool {
    url.parse::<ureq::http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}
