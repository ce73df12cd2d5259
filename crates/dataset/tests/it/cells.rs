//! Loading images into one array: order, bad images, limits.

use std::sync::atomic::{AtomicUsize, Ordering};

use malaria_dataset::{
    Cells, Error, Fingerprint, Index, LoadOptions, Loaded, ResizePolicy, load, read_image, resize,
};

use crate::support::Folder;

fn load_quietly(index: Index, skip_corrupt: bool) -> Result<Loaded, Error> {
    load(index, LoadOptions { size: 6, skip_corrupt, ..LoadOptions::default() })
}

#[test]
fn cells_are_the_resized_files_in_the_order_of_the_index() {
    let folder = Folder::of_cells(5);
    let index = folder.open();
    for policy in ResizePolicy::ALL {
        let options = LoadOptions { size: 6, resize: policy, ..LoadOptions::default() };
        let loaded = load(index.clone(), options).unwrap();
        assert_eq!((loaded.cells.len(), loaded.cells.size()), (20, 6));
        assert_eq!(loaded.cells.pixels().len(), 20 * 6 * 6 * 3);
        assert!(loaded.skipped.is_empty() && !loaded.cells.is_empty());
        assert_eq!(loaded.index, index);
        for i in 0..20 {
            let (picture, fingerprint) = read_image(&index.full_path(i)).unwrap();
            assert_eq!(
                loaded.cells.cell(i),
                resize(&picture, 6, policy).as_raw().as_slice(),
                "{policy}, cell {i}"
            );
            assert_eq!(loaded.fingerprints[i], fingerprint);
        }
    }
}

#[test]
fn by_default_cells_are_stretched_to_64_pixels_and_a_bad_file_is_an_error() {
    let folder = Folder::of_cells(1);
    let index = folder.open();
    let loaded = load(index.clone(), LoadOptions::default()).unwrap();
    let (picture, _) = read_image(&index.full_path(0)).unwrap();
    assert_eq!(loaded.cells.cell(0), resize(&picture, 64, ResizePolicy::Stretch).as_raw().as_slice());
    let refused = load(spoiled().0.open(), LoadOptions::default());
    assert!(matches!(refused, Err(Error::BadImages { .. })), "{refused:?}");
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let index = Folder::of_cells(8);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| load_quietly(index.open(), false).unwrap())
    };
    assert_eq!(on(1), on(7));
}

#[test]
fn progress_counts_every_file_once() {
    let (calls, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let progress = |done| {
        calls.fetch_add(1, Ordering::Relaxed);
        sum.fetch_add(done, Ordering::Relaxed);
    };
    let index = Folder::of_cells(3);
    load(index.open(), LoadOptions { size: 4, progress: Some(&progress), ..LoadOptions::default() }).unwrap();
    assert_eq!((calls.into_inner(), sum.into_inner()), (12, 12 * 13 / 2));
}

/// 20 files, of which the first, one in the middle and the last are bad.
fn spoiled() -> (Folder, Vec<usize>) {
    let folder = Folder::of_cells(5);
    let index = folder.open();
    folder.write(&index.samples[0].path, b"");
    let whole = std::fs::read(index.full_path(7)).unwrap();
    folder.write(&index.samples[7].path, &whole[..whole.len() / 2]);
    folder.write(&index.samples[19].path, b"not an image");
    (folder, vec![0, 7, 19])
}

#[test]
fn all_bad_images_are_reported_at_once() {
    let (folder, bad) = spoiled();
    let index = folder.open();
    let error = load_quietly(index.clone(), false).unwrap_err();
    let message = error.to_string();
    let Error::BadImages { bad: found, .. } = error else { panic!("{message}") };
    let paths: Vec<_> = found.iter().map(|bad| bad.path.clone()).collect();
    assert_eq!(paths, bad.iter().map(|&i| index.full_path(i)).collect::<Vec<_>>());
    for part in ["3 of the images", "is empty (0 bytes)", "cannot be decoded as Png", "is not an image"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn the_error_names_every_bad_image() {
    let folder = Folder::new();
    for i in 0..40 {
        folder.write(&format!("{}/{i:02}.png", ["a", "b"][i % 2]), b"");
    }
    let error = load_quietly(folder.open(), false).unwrap_err();
    let said = error.to_string();
    let named = |i: usize| said.contains(&format!("{}/{i:02}.png` is empty", ["a", "b"][i % 2]));
    assert!((0..40).all(named), "{said}");
    assert!(matches!(error, Error::BadImages { bad, .. } if bad.len() == 40));
}

#[test]
fn lists_stay_parallel_when_images_are_skipped() {
    let (folder, bad) = spoiled();
    let index = folder.open();
    let loaded = load_quietly(index.clone(), true).unwrap();
    assert_eq!(loaded.skipped.len(), 3);
    assert_eq!((loaded.index.samples.len(), loaded.cells.len(), loaded.fingerprints.len()), (17, 17, 17));
    let kept: Vec<usize> = (0..20).filter(|i| !bad.contains(i)).collect();
    for (now, &before) in kept.iter().enumerate() {
        assert_eq!(loaded.index.samples[now], index.samples[before]);
        let path = index.full_path(before);
        let (picture, _) = read_image(&path).unwrap();
        assert_eq!(loaded.cells.cell(now), resize(&picture, 6, ResizePolicy::Stretch).as_raw().as_slice());
        assert_eq!(loaded.fingerprints[now], Fingerprint::of(&std::fs::read(path).unwrap()));
    }
}

#[test]
fn a_class_that_loses_its_last_image_is_an_error() {
    let folder = Folder::of_cells(1);
    for cell in 0..2 {
        folder.write(&format!("Uninfected/C1P9thinF_IMG_1_cell_{cell}.png"), b"");
    }
    let error = load_quietly(folder.open(), true).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("no image of the class `Uninfected` is left after skipping 2"), "{message}");
    assert!(
        message.contains("cell_0.png` is empty") && message.contains("cell_1.png` is empty"),
        "{message}"
    );
}

#[test]
fn impossible_sizes_are_refused() {
    let folder = Folder::of_cells(1);
    for size in [0, 4097, u32::MAX] {
        let refused = load(folder.open(), LoadOptions { size, ..LoadOptions::default() });
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(&format!("{size} px; expected 1 to 4096 px")), "{message}");
    }
    // Four million cells of 48 MiB exceed memory, but not the range of usize.
    let mut index = folder.open();
    let sample = index.samples[0].clone();
    index.samples.resize(4_000_000, sample);
    let refused = load(index, LoadOptions { size: 4096, ..LoadOptions::default() });
    assert!(matches!(refused, Err(Error::NoMemory { cells: 4_000_000, size: 4096 })));
}

#[test]
fn pixels_must_be_whole_cells() {
    let cells = Cells::from_pixels(2, (0..24).collect()).unwrap();
    assert_eq!((cells.len(), cells.cell(1)[0]), (2, 12));
    let message = Cells::from_pixels(2, vec![0; 25]).unwrap_err().to_string();
    assert!(message.contains("25; expected a multiple of 12"), "{message}");
    assert!(matches!(Cells::from_pixels(0, vec![]), Err(Error::Config { .. })));
}
