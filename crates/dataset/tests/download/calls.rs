//! Stops, concurrent calls, existing folders, invalid settings.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use malaria_dataset::{DownloadConfig, DownloadProgress, Error, download};

use crate::server::{Answer, Server};
use crate::support::{GO_ON, Out, archive, config};

#[test]
fn an_incomplete_folder_is_refused_and_unchanged() {
    let archive = archive();
    let server = Server::start(&archive, &[Answer::Good]);
    let config = config(&[&server], &archive);
    let out = Out::new();
    let cells = out.download(&config).unwrap();
    fs::remove_file(cells.join("Uninfected/C1_thinF_IMG_1_cell_1.png")).unwrap();
    let message = out.download(&config).unwrap_err().to_string();
    assert!(message.contains("holds 2 images in Uninfected; expected 3; move it away"), "{message}");
    assert_eq!(out.names(), ["cell_images"]);
    assert_eq!(fs::read_dir(cells.join("Uninfected")).unwrap().count(), 2);
}

#[test]
fn a_second_download_to_the_same_folder_is_refused() {
    let archive = archive();
    let server = Server::start(&archive, &[Answer::Good]);
    let config = config(&[&server], &archive);
    let out = Out::new();
    let mut second = None;
    download(&config, out.path(), &GO_ON, &mut |event| {
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
    let server = Server::start(&archive, &[Answer::Other(503, "later")]);
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
    let server = Server::start(&archive, &[Answer::CutAfter(1000), Answer::Good]);
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
fn invalid_settings_are_refused_by_name() {
    let good = DownloadConfig::default();
    good.check().unwrap();
    let urls = |urls: &[&str]| DownloadConfig {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        ..good.clone()
    };
    let out = Out::new();
    for (name, config) in [
        ("urls", urls(&[])),
        ("urls", urls(&["ftp://example.org/a.zip"])),
        ("urls", urls(&["/home/me/cell_images.zip"])),
        ("expected_sha256", DownloadConfig { expected_sha256: "0a94".to_owned(), ..good.clone() }),
    ] {
        match out.download(&config).unwrap_err() {
            Error::Config { field, .. } => assert_eq!(field, name, "{config:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(out.names(), [""; 0]);
}
