//! Pooling of folds, from their `predictions.csv` on: the order of cells, and folds and files that are refused.

use std::{fs, path::PathBuf};

use malaria_classifier::{FoldResult, OutOfFold, Pooled, read_predictions};
use malaria_dataset::{Fingerprint, Manifest, ManifestEntry, Subset};

fn classes() -> Vec<String> {
    ["Parasitized", "Uninfected"].map(str::to_owned).to_vec()
}

/// Two folds of four cells: cells 0 and 1, of patient C0, are tested in the first fold, cells 2 and 3, of C1, in the
/// second.
fn folds() -> [FoldResult; 2] {
    [1, 2].map(|fold| {
        let entry = |cell: usize| {
            let class = classes()[cell % 2].clone();
            ManifestEntry {
                path: format!("{class}/{cell}.png"),
                class,
                patient: Some(format!("C{}", cell / 2)),
                subset: Some(if cell / 2 + 1 == fold { Subset::Test } else { Subset::Train }),
                fingerprint: Fingerprint::of(&[cell as u8]),
            }
        };
        let entries: Vec<ManifestEntry> = (0..4).map(entry).collect();
        let prediction = |entry: &ManifestEntry| OutOfFold {
            path: entry.path.clone(),
            class: entry.class.clone(),
            patient: entry.patient.clone().unwrap(),
            fold,
            probabilities: vec![0.75, 0.25],
        };
        let tested = entries.iter().filter(|entry| entry.subset == Some(Subset::Test));
        let predictions = tested.map(prediction).collect();
        let manifest = Manifest { path: PathBuf::from("split.csv"), entries };
        FoldResult { folder: format!("fold-{fold}").into(), classes: classes(), manifest, predictions }
    })
}

#[test]
fn cells_of_all_folds_have_the_order_of_the_data_folder() {
    let mut folds = folds();
    folds[1].manifest.entries[0].subset = None;
    folds.reverse();
    let pooled = Pooled::new(&folds, "Uninfected").unwrap();
    assert_eq!((pooled.folds, pooled.positive, pooled.n_excluded), (2, 1, 1));
    assert!(pooled.rows.iter().map(|row| row.fold).eq([1, 1, 2, 2]), "{:?}", pooled.rows);
    assert_eq!(pooled.patients(), ["C0", "C0", "C1", "C1"].map(Some));
}

#[test]
fn folds_that_do_not_fit_together_are_refused() {
    type Change = fn(&mut [FoldResult; 2]);
    let cases: [(Change, &str); 8] = [
        (|folds| folds[1].classes.reverse(), "its classes are"),
        (
            |folds| folds[1].manifest.entries[3].path = "Uninfected/9.png".to_owned(),
            "other cells than that of fold-1",
        ),
        (
            |folds| folds[1].manifest.entries[0].fingerprint = Fingerprint::of(b"changed"),
            "other cells than that of fold-1",
        ),
        (|folds| folds[1].predictions.truncate(1), "the 1 cells of its predictions.csv"),
        (|folds| folds[1].predictions[0].class = "Uninfected".to_owned(), "with their classes and patients"),
        (|folds| folds[1].predictions[0].patient = "C9".to_owned(), "with their classes and patients"),
        (|folds| folds[1] = folds[0].clone(), "is also a test cell of another fold"),
        (
            |folds| {
                folds[1].manifest.entries[2].subset = Some(Subset::Train);
                folds[1].predictions.remove(0);
            },
            "no fold was tested on Parasitized/2.png",
        ),
    ];
    for (change, words) in cases {
        let mut folds = folds();
        change(&mut folds);
        let error = Pooled::new(&folds, "Parasitized").unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    let error = Pooled::new(&folds(), "sick").unwrap_err().to_string();
    assert!(error.contains("`sick` is not one of its classes"), "{error}");
}

#[test]
fn altered_predictions_are_refused_with_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions.csv");
    let header = "path,class,patient,subset,predicted,argmax,probability_Parasitized,probability_Uninfected";
    let sound =
        format!("{header}\nParasitized/0.png,Parasitized,C0,test,Parasitized,Parasitized,0.75,0.25\n");
    fs::write(&path, &sound).unwrap();
    let rows = read_predictions(&path, &classes(), 3).unwrap();
    assert_eq!((rows.len(), rows[0].fold, rows[0].patient.as_str()), (1, 3, "C0"));
    assert_eq!(rows[0].probabilities, [0.75, 0.25]);
    for (from, to, words) in [
        (",0.75,", ",1.75,", "line 2: expected a probability, found `1.75`"),
        (",0.75,", ",0.5,", "line 2: expected probabilities that sum to 1"),
        (",Parasitized,C0", ",sick,C0", "line 2: `sick` is not one of the classes"),
        ("probability_Uninfected", "probability_sick", "expected a column `probability_Uninfected`"),
    ] {
        assert!(sound.contains(from), "{from}");
        fs::write(&path, sound.replace(from, to)).unwrap();
        let error = read_predictions(&path, &classes(), 3).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("predictions.csv"), "{words}: {error}");
    }
}
