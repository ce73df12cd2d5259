//! From the archive to the folder: archives that are damaged, unsafe or too large.

use std::fs;
use std::io::Cursor;

use malaria_dataset::{DownloadConfig, download};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::server::{Answer, Server};
use crate::support::{GO_ON, Out, archive, config, entries, image, problem, zip_of};

/// Downloads an archive with the right hash and returns why it was refused. Nothing is left.
fn refused(archive: &[u8], change: impl FnOnce(DownloadConfig) -> DownloadConfig) -> String {
    let (server, out) = (Server::start(archive, &[Answer::Good]), Out::new());
    let inner = out.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let found = problem(download(&change(config(&[&server], archive)), &inner, &GO_ON, &mut |_| {}));
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
    assert_eq!(out.names(), ["inner"]);
    found
}

#[test]
fn names_that_lead_elsewhere_and_links_are_refused() {
    let first = "cell_images/Parasitized/C0_thinF_IMG_1_cell_0.png";
    for start in ["../../evil", "/tmp/evil", "cell_images/../../e", "C:\\evil"] {
        // In place of a name of the same length, since writers refuse such names.
        let evil = format!("{start}{}.png", "x".repeat(first.len() - start.len() - 4));
        let mut archive = archive();
        for at in 0..archive.len() - first.len() {
            if archive[at..].starts_with(first.as_bytes()) {
                archive[at..at + first.len()].copy_from_slice(evil.as_bytes());
            }
        }
        let found = refused(&archive, |config| config);
        assert!(found.contains(&format!("`{evil}`")), "{found}");
    }
    let mut zip = ZipWriter::new_append(Cursor::new(archive())).unwrap();
    zip.add_symlink("cell_images/Parasitized/link.png", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let found = refused(&zip.finish().unwrap().into_inner(), |config| config);
    assert!(found.contains("`cell_images/Parasitized/link.png`, which is a link"), "{found}");
}

#[test]
fn damaged_archives_are_refused() {
    let good = zip_of(&entries(), CompressionMethod::Stored);
    let found = refused(&good[..good.len() - 30], |config| config);
    assert!(found.contains("damaged: directory"), "{found}");
    let mut flipped = good.clone();
    let picture = image(2, 900);
    let at = (0..good.len()).find(|&at| good[at..].starts_with(&picture)).unwrap();
    flipped[at + 500] ^= 1;
    let found = refused(&flipped, |config| config);
    assert!(found.contains("damaged") && found.contains("C2_thinF_IMG_1_cell_2.png"), "{found}");
}

#[test]
fn archives_with_other_contents_are_refused() {
    let found = refused(&zip_of(&entries()[..9], CompressionMethod::Stored), |config| config);
    assert_eq!(found, "the archive holds 2 images in Uninfected; expected 3");
    for elsewhere in ["cell_images/Other/a.png", "a.png", "cell_images/cell_images/Uninfected/a.png"] {
        let mut entries = entries();
        entries.push((elsewhere.to_owned(), image(9, 9)));
        let found = refused(&zip_of(&entries, CompressionMethod::Stored), |config| config);
        assert!(found.contains(&format!("the image `{elsewhere}`; expected")), "{found}");
    }
}

#[test]
fn zip_bombs_are_refused() {
    let mut large = entries();
    large[2].1 = vec![0; 4_000_000];
    let bomb = zip_of(&large, CompressionMethod::Deflated);
    assert!(bomb.len() < 20_000, "{}", bomb.len());
    let found = refused(&bomb, |config| DownloadConfig { max_bytes: 1_000_000, ..config });
    assert_eq!(found, "the archive unpacks to more than 1000000 bytes");
    let found = refused(&archive(), |config| DownloadConfig { max_entries: 10, ..config });
    assert_eq!(found, "the archive holds more than 10 files");
}
