//! Calls beside and after one another, and calls that lead nowhere.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use malaria_dataset::{DownloadConfig, DownloadProgress, Error, Index, download};

use crate::server::{Answer, Server};
use crate::support::{GO_ON, Out, PART, archive, config};

#[test]
fn a_folder_with_other_contents_is_not_taken_for_a_download_and_not_touched() {
    let archive = archive();
    let server = Server::start(&archive, &[Answer::Good]);
    let out = Out::new();
    out.download(&config(&[&server], &archive)).unwrap();
    let lost = out.path().join("cell_images/Uninfected/C1_thinF_IMG_1_cell_1.png");
    fs::remove_file(&lost).unwrap();
    match out.download(&config(&[&server], &archive)).unwrap_err() {
        Error::DownloadIncomplete { path, expected: 3, found: 2 } => {
            assert_eq!(path, out.path().join("cell_images/Uninfected"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(out.names(), ["cell_images"]);
    assert_eq!(Index::open(&out.path().join("cell_images")).unwrap().samples.len(), 5);
    assert_eq!(server.starts(), [0]);
}

#[test]
fn two_downloads_to_one_folder_do_not_mix() {
    let archive = archive();
    let server = Server::start(&archive, &[Answer::Good]);
    let out = Out::new();
    let config = config(&[&server], &archive);
    let mut second = None;
    download(&config, out.path(), &GO_ON, &mut |event| {
        if event == DownloadProgress::Verifying {
            second = Some(out.download(&config));
        }
    })
    .unwrap();
    assert!(matches!(second, Some(Err(Error::DownloadBusy { .. }))), "{second:?}");
    out.assert_done();
}

#[test]
fn a_stop_while_waiting_or_receiving_is_heard_and_keeps_what_came() {
    let archive = archive();
    let patient = |server: &Server| DownloadConfig {
        first_wait: Duration::from_secs(60),
        ..config(&[server], &archive)
    };
    let out = Out::new();
    let down = Server::start(&archive, &[Answer::Other(503, "later")]);
    let (stop, start) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        let stopped = download(&patient(&down), out.path(), &stop, &mut |event| {
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
    out.assert_empty();

    let slow = Server::start(&archive, &[Answer::CutAfter(1000)]);
    let stop = AtomicBool::new(false);
    let stopped = download(&patient(&slow), out.path(), &stop, &mut |event| {
        stop.fetch_or(matches!(event, DownloadProgress::Receiving { .. }), Ordering::Relaxed);
    });
    assert!(matches!(stopped, Err(Error::DownloadStopped)), "{stopped:?}");
    assert!(fs::metadata(out.path().join(PART)).unwrap().len() > 0);
    let good = Server::start(&archive, &[Answer::Good]);
    out.download(&config(&[&good], &archive)).unwrap();
    out.assert_done();
}

#[test]
fn a_stop_while_unpacking_leaves_nothing_that_looks_finished() {
    let archive = archive();
    let server = Server::start(&archive, &[Answer::Good]);
    let out = Out::new();
    let config = config(&[&server], &archive);
    let stop = AtomicBool::new(false);
    let stopped = download(&config, out.path(), &stop, &mut |event| {
        stop.store(event == DownloadProgress::Unpacking { done: 3, total: 6 }, Ordering::Relaxed);
    });
    assert!(matches!(stopped, Err(Error::DownloadStopped)), "{stopped:?}");
    out.assert_part(&archive, archive.len());
    out.download(&config).unwrap();
    out.assert_done();
    assert_eq!(server.starts(), [0]);
}

#[cfg(unix)]
#[test]
fn what_a_killed_call_left_half_unpacked_is_removed_and_nothing_else() {
    let archive = archive();
    let server = Server::start(&archive, &[Answer::Good]);
    let out = Out::new();
    let names =
        [".cell_images.writing-held", ".cell_images.writing-left", ".other.writing-left", "cell_images2"];
    for name in names {
        fs::create_dir_all(out.path().join(name).join("Parasitized")).unwrap();
    }
    // A process that is still at it.
    let held = fs::File::open(out.path().join(names[0])).unwrap();
    held.lock().unwrap();
    out.download(&config(&[&server], &archive)).unwrap();
    assert_eq!(out.names(), [names[0], names[2], "cell_images", names[3]]);
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let good = DownloadConfig::default();
    good.check().unwrap();
    let none = Duration::ZERO;
    let web = |url: &str| vec![url.to_owned()];
    let bad = [
        ("urls", DownloadConfig { urls: Vec::new(), ..good.clone() }),
        ("urls", DownloadConfig { urls: web("ftp://example.org/a.zip"), ..good.clone() }),
        ("urls", DownloadConfig { urls: web("/home/me/cell_images.zip"), ..good.clone() }),
        ("urls", DownloadConfig { urls: web(""), ..good.clone() }),
        ("expected_sha256", DownloadConfig { expected_sha256: Some("0a94".to_owned()), ..good.clone() }),
        ("expected_bytes", DownloadConfig { expected_bytes: Some(0), ..good.clone() }),
        ("images_per_class", DownloadConfig { images_per_class: 0, ..good.clone() }),
        ("max_bytes", DownloadConfig { max_bytes: 0, ..good.clone() }),
        ("max_bytes", DownloadConfig { max_bytes: 353_452_850, ..good.clone() }),
        ("max_entries", DownloadConfig { max_entries: 0, ..good.clone() }),
        ("connect_timeout", DownloadConfig { connect_timeout: none, ..good.clone() }),
        ("stall_timeout", DownloadConfig { stall_timeout: none, ..good }),
    ];
    let out = Out::new();
    for (name, config) in bad {
        match out.download(&config).unwrap_err() {
            Error::BadSetting { field, .. } => assert_eq!(field, name, "{config:?}"),
            other => panic!("{other:?}"),
        }
    }
    out.assert_empty();
}
