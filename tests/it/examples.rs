//! The examples, which cargo builds beside this test, on a few synthetic cells.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use malaria_resnet::dataset::{SyntheticConfig, write_synthetic};

/// Runs an example in `folder`, which must succeed, and returns its standard output.
pub(crate) fn example(name: &str, folder: &Path, arguments: &[&str]) -> String {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo test`, or `cargo build --examples` first",
        path.display()
    );
    let mut command = Command::new(path);
    // Several tests with more threads than cores take ten times as long.
    command.env("OMP_NUM_THREADS", "1");
    command.env_remove("MALARIA_DATA").env_remove("MALARIA_RUN").current_dir(folder).args(arguments);
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// A folder with a few synthetic cells in `cells`.
pub(crate) fn with_cells() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = SyntheticConfig { cells: 60, patients: 10, ..SyntheticConfig::default() };
    write_synthetic(&folder.path().join("cells"), &config, &|_| {}).unwrap();
    folder
}

#[test]
fn predict_classifies_with_the_pretrained_model() {
    let folder = with_cells();
    let said = example("predict", folder.path(), &["cells"]);
    assert_eq!(said.lines().filter(|line| line.contains(".png: ")).count(), 60, "{said}");
    assert!(said.contains("Uninfected, Parasitized 0."), "{said}");
}

#[test]
fn build_dataset_makes_three_trees() {
    let folder = with_cells();
    let said = example("build_dataset", folder.path(), &["cells", "trees"]);
    assert!(said.contains("  training: 44 images") && said.contains("60 images written, 0 there"), "{said}");
    assert_eq!(fs::read_dir(folder.path().join("trees")).unwrap().count(), 3);
}
