//! Downloads from a local server, with and without faults.

mod server;

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use malaria_dataset::{DownloadConfig, DownloadProgress, Error, Fingerprint, Index, Result, download};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use server::Answer::{self, CutAfter, Good, Other, StallAfter};
use server::Server;

/// A stop flag that stays false.
static NOT_STOPPED: AtomicBool = AtomicBool::new(false);

const PART: &str = "cell_images.zip.part";

/// The layout of NLM's archive: an outer folder, two class folders with three images each, and Windows' files among them.
fn entries() -> Vec<(String, Vec<u8>)> {
    let mut entries = Vec::new();
    for class in ["Parasitized", "Uninfected"] {
        for number in 0..3 {
            // Bytes that do not compress.
            let byte = |i: u32| (i + 7 * number).wrapping_mul(2_654_435_761).to_be_bytes()[0];
            let name = format!("cell_images/{class}/C{number}_thinF_IMG_1_cell_{number}.png");
            entries.push((name, (0..900).map(byte).collect()));
        }
        entries.push((format!("cell_images/{class}/Thumbs.db"), b"thumbs".to_vec()));
    }
    entries
}

fn archive() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_directory("cell_images/", SimpleFileOptions::default()).unwrap();
    for (name, bytes) in entries() {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Settings for `archive`.
fn config(servers: &[&Server], archive: &[u8]) -> DownloadConfig {
    DownloadConfig {
        urls: servers.iter().map(|server| server.url.clone()).collect(),
        expected_bytes: archive.len() as u64,
        expected_sha256: Fingerprint::of(archive).hex(),
        images: 6,
        stall_timeout: Duration::from_millis(300),
        retries: 2,
        first_wait: Duration::from_millis(1),
    }
}

struct Out(TempDir);

impl Out {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn download(&self, config: &DownloadConfig) -> Result<PathBuf> {
        download(config, self.path(), &NOT_STOPPED, &mut |_| {})
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    /// Asserts that the folder contains every image and nothing else.
    #[track_caller]
    fn assert_done(&self) {
        assert_eq!(self.names(), ["cell_images"]);
        let index = Index::open(&self.path().join("cell_images")).unwrap();
        assert_eq!(index.classes, ["Parasitized", "Uninfected"]);
        assert_eq!((index.samples.len(), index.ignored.len()), (6, 0));
        for (name, bytes) in entries().iter().filter(|(name, _)| name.ends_with(".png")) {
            assert_eq!(&fs::read(self.path().join(name)).unwrap(), bytes, "{name}");
        }
    }

    /// Asserts that there is only the part with the first `bytes` of the archive, or nothing.
    #[track_caller]
    fn assert_part(&self, archive: &[u8], bytes: usize) {
        if bytes == 0 {
            return assert_eq!(self.names(), [""; 0]);
        }
        assert_eq!(self.names(), [PART]);
        assert_eq!(fs::read(self.path().join(PART)).unwrap(), archive[..bytes]);
    }
}

#[test]
fn a_download_reports_progress_and_a_second_call_needs_no_network() {
    let archive = archive();
    let server = Server::start(&archive, &[Good]);
    let config = config(&[&server], &archive);
    let out = Out::new();
    let mut events = Vec::new();
    let path = download(&config, out.path(), &NOT_STOPPED, &mut |event| events.push(event)).unwrap();
    assert_eq!(path, out.path().join("cell_images"));
    out.assert_done();
    let total = archive.len() as u64;
    assert_eq!(events.first(), Some(&DownloadProgress::Connecting { url: server.url.clone(), have: 0 }));
    assert!(events.contains(&DownloadProgress::Receiving { received: total, total }));
    assert!(events.contains(&DownloadProgress::Verifying));
    assert_eq!(events.last(), Some(&DownloadProgress::Unpacking { done: 6, total: 6 }));
    let again = download(&config, out.path(), &NOT_STOPPED, &mut |event| panic!("{event:?}"));
    assert_eq!(again.unwrap(), path);
    assert_eq!(server.starts(), [0]);
}

#[test]
fn temporary_faults_are_survived_and_the_received_bytes_are_used() {
    let archive = archive();
    let mut old = archive.clone();
    old[500] ^= 1;
    let third = archive.len() / 3 - 1;
    for (answers, starts) in [
        (vec![CutAfter(1000), CutAfter(1500), Good], vec![0, 1000, 2500]),
        // More failures than retries, but each with progress.
        (vec![CutAfter(third)], vec![0, third, 2 * third, 3 * third]),
        (vec![StallAfter(1000), Good], vec![0, 1000]),
        // The file changes between the requests.
        (vec![Answer::Start(old, 1000), Good], vec![0, 1000, 0]),
        // The server does not support ranges, or sends another one than requested.
        (vec![CutAfter(1000), Answer::Whole], vec![0, 1000]),
        (vec![CutAfter(1000), Answer::WrongRange, Good], vec![0, 1000, 0]),
        (vec![Other(503, "busy"), Other(429, "slowly"), Good], vec![0, 0, 0]),
    ] {
        let (server, out) = (Server::start(&archive, &answers), Out::new());
        out.download(&config(&[&server], &archive)).unwrap();
        out.assert_done();
        assert_eq!(server.starts(), starts);
    }
}

#[test]
fn permanent_faults_are_named_and_the_received_bytes_are_kept() {
    let archive = archive();
    let mut changed = archive.clone();
    changed[500] ^= 1;
    let (size, truncated) = (archive.len(), &archive[..archive.len() - 50]);
    let [hash, other_hash] = [&archive, &changed].map(|bytes| Fingerprint::of(bytes).hex());
    let page = Other(200, "<!DOCTYPE html><title>Welcome to our Wi-Fi</title>");
    let wrong_size = format!("the archive has {} bytes; expected {size}", size - 50);
    let wrong_hash = format!("the archive has the SHA-256 {other_hash}; expected {hash}");
    let (cut, stalled) = (vec![CutAfter(1000), CutAfter(0)], vec![StallAfter(1000), StallAfter(0)]);
    // The file on the server, its answers, the problem, the bytes kept, and the number of requests.
    for (file, answers, problem, kept, requests) in [
        (&archive[..], cut, "the connection failed: io: Peer disconnected", 1000, 3),
        (&archive, stalled, "the connection failed: timeout: ", 1000, 3),
        (&archive, vec![CutAfter(1000), page], "the server sent a web page, not the archive", 1000, 2),
        (&archive, vec![Other(503, "busy")], "the server answered with status 503", 0, 3),
        (&archive, vec![Other(404, "gone")], "the server answered with status 404", 0, 1),
        (truncated, vec![Good], &wrong_size, 0, 1),
        (&changed, vec![Good], &wrong_hash, 0, 1),
    ] {
        let (server, out) = (Server::start(file, &answers), Out::new());
        let error = out.download(&config(&[&server], &archive)).unwrap_err();
        assert!(error.to_string().contains(&format!("{}: {problem}", server.url)), "{problem}: {error}");
        out.assert_part(&archive, kept);
        assert_eq!(server.starts().len(), requests, "{problem}");
    }
}

#[test]
fn mirrors_and_the_next_call_continue_the_same_part() {
    let archive = archive();
    let cut = Server::start(&archive, &[CutAfter(1000), Other(404, "gone")]);
    let gone = Server::start(&archive, &[Other(404, "gone")]);
    let out = Out::new();
    let error = out.download(&config(&[&cut, &gone], &archive)).unwrap_err();
    assert!(matches!(error, Error::Download { failures, .. } if failures.len() == 2));
    out.assert_part(&archive, 1000);
    let good = Server::start(&archive, &[Good]);
    out.download(&config(&[&gone, &good], &archive)).unwrap();
    out.assert_done();
    assert_eq!((gone.starts(), good.starts()), (vec![1000, 1000], vec![1000]));
}

#[test]
fn a_complete_part_needs_no_network_and_a_wrong_one_is_replaced() {
    let archive = archive();
    let server = Server::start(&archive, &[Good]);
    let from_part = |part: &[u8]| {
        let out = Out::new();
        fs::write(out.path().join(PART), part).unwrap();
        out.download(&config(&[&server], &archive)).unwrap();
        out.assert_done();
    };
    from_part(&archive);
    assert_eq!(server.starts(), [0_usize; 0]);
    for length in [1000, archive.len(), archive.len() + 100] {
        from_part(&vec![b'x'; length]);
    }
}

#[test]
fn an_incomplete_folder_is_refused_and_unchanged() {
    let archive = archive();
    let server = Server::start(&archive, &[Good]);
    let config = config(&[&server], &archive);
    let out = Out::new();
    let cells = out.download(&config).unwrap();
    fs::remove_file(cells.join("Uninfected/C1_thinF_IMG_1_cell_1.png")).unwrap();
    let message = out.download(&config).unwrap_err().to_string();
    assert!(message.contains("holds 5 images; expected 6; move it away"), "{message}");
    assert_eq!(out.names(), ["cell_images"]);
    assert_eq!(fs::read_dir(cells.join("Uninfected")).unwrap().count(), 2);
}

#[test]
fn a_second_download_to_the_same_folder_is_refused() {
    let archive = archive();
    let server = Server::start(&archive, &[Good]);
    let config = config(&[&server], &archive);
    let out = Out::new();
    let mut second = None;
    download(&config, out.path(), &NOT_STOPPED, &mut |event| {
        if event == DownloadProgress::Verifying {
            second = Some(out.download(&config));
        }
    })
    .unwrap();
    let message = second.unwrap().unwrap_err().to_string();
    assert!(message.contains("is being written by another process"), "{message}");
    out.assert_done();
}

#[test]
fn a_stop_ends_a_wait_at_once() {
    let archive = archive();
    let server = Server::start(&archive, &[Other(503, "later")]);
    let config = DownloadConfig { first_wait: Duration::from_secs(60), ..config(&[&server], &archive) };
    let out = Out::new();
    let (stop, start) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        let stopped = download(&config, out.path(), &stop, &mut |event| {
            if matches!(event, DownloadProgress::Retrying { .. }) {
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(200));
                    stop.store(true, Ordering::Relaxed);
                });
            }
        });
        assert!(matches!(stopped, Err(Error::DownloadStopped)), "{stopped:?}");
    });
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(out.names(), [""; 0]);
}

#[test]
fn a_stop_keeps_the_received_bytes_and_leaves_no_folder() {
    let archive = archive();
    let server = Server::start(&archive, &[CutAfter(1000), Good]);
    let config = config(&[&server], &archive);
    let out = Out::new();
    let stop_at = |wanted: &dyn Fn(&DownloadProgress) -> bool| {
        let stop = AtomicBool::new(false);
        let stopped = download(&config, out.path(), &stop, &mut |event| {
            stop.fetch_or(wanted(&event), Ordering::Relaxed);
        });
        assert!(matches!(stopped, Err(Error::DownloadStopped)), "{stopped:?}");
    };
    stop_at(&|event| matches!(event, DownloadProgress::Retrying { .. }));
    out.assert_part(&archive, 1000);
    stop_at(&|event| *event == DownloadProgress::Unpacking { done: 3, total: 6 });
    out.assert_part(&archive, archive.len());
    out.download(&config).unwrap();
    out.assert_done();
    assert_eq!(server.starts(), [0, 1000]);
}

#[test]
fn invalid_addresses_are_refused() {
    let out = Out::new();
    for urls in [&[][..], &["ftp://example.org/a.zip"], &["https://example.org/a.zip", "/home/me/a.zip"]] {
        let urls = urls.iter().map(|&url| url.to_owned()).collect();
        let error = out.download(&DownloadConfig { urls, ..DownloadConfig::default() }).unwrap_err();
        assert!(matches!(&error, Error::Config { field: "urls", .. }), "{error}");
    }
    assert_eq!(out.names(), [""; 0]);
}
