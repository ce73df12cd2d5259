//! The way from the archive to the folder: nothing outside it, nothing too large, nothing missing.

use std::fs;
use std::io::Cursor;

use malaria_dataset::{DownloadConfig, DownloadProblem, download};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::server::{Answer, Server};
use crate::support::{GO_ON, Out, archive, entries, image, problem, trusting, zip_of};

/// The end of a download of a bad archive of which nothing is known: what was wrong. Nothing may be left.
fn refused(archive: &[u8], config: impl FnOnce(DownloadConfig) -> DownloadConfig) -> DownloadProblem {
    let (server, out) = (Server::start(archive, &[Answer::Good]), Out::new());
    let inner = out.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let found = problem(download(&config(trusting(&[&server])), &inner, &GO_ON, &mut |_| {}));
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 0, "nothing is left");
    assert_eq!(out.names(), ["inner"], "and nothing lies outside");
    found
}

/// The archive with one name replaced by another of the same length, which a writer of archives might refuse.
fn renamed(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut archive = archive();
    let mut count = 0;
    for at in 0..archive.len() - from.len() {
        if archive[at..].starts_with(from.as_bytes()) {
            archive[at..at + from.len()].copy_from_slice(to.as_bytes());
            count += 1;
        }
    }
    assert_eq!(count, 2, "in front of the file and in the directory");
    archive
}

#[test]
fn names_that_lead_elsewhere_are_refused_before_anything_is_written() {
    let first = "cell_images/Parasitized/C0_thinF_IMG_1_cell_0.png";
    let padded = |start: &str| format!("{start}{}.png", "x".repeat(first.len() - start.len() - 4));
    for evil in [padded("../../evil"), padded("/tmp/evil"), padded("cell_images/../../e"), padded("C:\\evil")]
    {
        match refused(&renamed(first, &evil), |config| config) {
            DownloadProblem::UnsafeEntry { name, .. } => assert_eq!(name, evil),
            other => panic!("{evil}: {other:?}"),
        }
    }
    // One that is passed over anyway is no better.
    let thumbs = "cell_images/Parasitized/Thumbs.db";
    let evil = "../../../cell_images/..xThumbs.db";
    assert!(matches!(refused(&renamed(thumbs, evil), |c| c), DownloadProblem::UnsafeEntry { .. }));
}

#[test]
fn links_are_refused() {
    let mut zip = ZipWriter::new_append(Cursor::new(archive())).unwrap();
    zip.add_symlink("cell_images/Parasitized/link.png", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let archive = zip.finish().unwrap().into_inner();
    match refused(&archive, |config| config) {
        DownloadProblem::UnsafeEntry { name, reason } => {
            assert_eq!(name, "cell_images/Parasitized/link.png");
            assert!(reason.contains("link"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn damaged_archives_are_refused() {
    let good = zip_of(&entries(), CompressionMethod::Stored);
    let truncated = &good[..good.len() - 30];
    assert!(matches!(refused(truncated, |c| c), DownloadProblem::Damaged { .. }));
    // One byte within a picture.
    let mut flipped = good.clone();
    let picture = image(2, 900);
    let at = (0..good.len()).find(|&at| good[at..].starts_with(&picture)).unwrap();
    flipped[at + 500] ^= 1;
    match refused(&flipped, |c| c) {
        DownloadProblem::Damaged { reason } => {
            assert!(reason.contains("C2_thinF_IMG_1_cell_2.png"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn archives_that_hold_something_else_are_refused() {
    let missing = &entries()[..9];
    let expected = DownloadProblem::WrongCount { class: "Uninfected", expected: 3, found: 2 };
    assert_eq!(refused(&zip_of(missing, CompressionMethod::Stored), |c| c), expected);

    let with = |name: &str, bytes: &[u8]| {
        let mut entries = entries();
        entries.push((name.to_owned(), bytes.to_vec()));
        zip_of(&entries, CompressionMethod::Stored)
    };
    for elsewhere in ["cell_images/Other/a.png", "a.png", "cell_images/cell_images/Uninfected/a.png"] {
        match refused(&with(elsewhere, &image(9, 9)), |c| c) {
            DownloadProblem::Unexpected { name, .. } => assert_eq!(name, elsewhere),
            other => panic!("{other:?}"),
        }
    }
    let twice = "cell_images/Uninfected/c1_THINF_IMG_1_cell_1.png";
    assert!(matches!(refused(&with(twice, &image(9, 9)), |c| c), DownloadProblem::Unexpected { .. }));

    let mut text = entries();
    text[2].1 = b"no picture".to_vec();
    match refused(&zip_of(&text, CompressionMethod::Stored), |c| c) {
        DownloadProblem::Unexpected { reason, .. } => assert!(reason.contains("PNG"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bombs_do_not_go_off() {
    let mut large = entries();
    large[2].1 = [b"\x89PNG\r\n\x1a\n".as_slice(), &vec![0; 4_000_000]].concat();
    let bomb = zip_of(&large, CompressionMethod::Deflated);
    assert!(bomb.len() < 20_000, "{}", bomb.len());
    let found = refused(&bomb, |config| DownloadConfig { max_bytes: 1_000_000, ..config });
    assert!(matches!(found, DownloadProblem::TooMuch { most: 1_000_000, .. }), "{found:?}");
    let found = refused(&archive(), |config| DownloadConfig { max_entries: 10, ..config });
    assert!(matches!(found, DownloadProblem::TooMuch { most: 10, .. }), "{found:?}");
    // The archive itself, by what the server says of its size and, where it says nothing, by what comes.
    for answer in [Answer::Good, Answer::Chunked] {
        let (server, out) = (Server::start(&archive(), &[answer]), Out::new());
        let small = DownloadConfig { max_bytes: 1000, ..trusting(&[&server]) };
        match problem(out.download(&small)) {
            DownloadProblem::TooMuch { what, most: 1000 } => {
                assert!(what.contains("of the archive"), "{what}")
            }
            other => panic!("{other:?}"),
        }
        out.assert_empty();
    }
}
