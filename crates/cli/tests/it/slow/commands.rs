//! Runs the commands that README.md and docs mark with `<!-- run -->`, in order, on synthetic data in a folder for each document.
//!
//! `tools/check_docs.py` refuses a block of commands without this mark or `<!-- not run: why -->`.

use std::{
    env::{self, consts::EXE_SUFFIX},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use malaria_resnet::dataset::{SmearConfig, SyntheticConfig, write_synthetic, write_synthetic_smear};

use crate::{
    documents::documents,
    support::{copy_folder, succeed},
};

/// Writes the files that the documents name: the cells of six patients, photographs, and the models of this repository.
fn prepare(folder: &Path) {
    let cells = SyntheticConfig { cells: 36, patients: 6, infected_share_of_patients: 1.0, seed: 42 };
    for name in ["cell_images", "my_cells", "a_folder_of_cells"] {
        write_synthetic(&folder.join(name), &cells, &|_| {}).unwrap();
    }
    let cell = fs::read_dir(folder.join("my_cells/Uninfected")).unwrap().next().unwrap().unwrap();
    fs::copy(cell.path(), folder.join("some_cell.png")).unwrap();
    for name in ["photographs", "a_folder_of_photographs"] {
        fs::create_dir(folder.join(name)).unwrap();
        let photograph = folder.join(name).join("field.png");
        write_synthetic_smear(&photograph, &SmearConfig { parasitaemia: 0.1, ..SmearConfig::default() })
            .unwrap();
    }
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/pretrained");
    copy_folder(&models, &folder.join("data/pretrained"));
}

/// The marked blocks of a document. The built programs take the place of cargo; `installed` runs `cargo install`.
fn marked(text: &str) -> Vec<String> {
    let text = text.replace("cargo install --path crates/cli\n", "");
    let text = text.replace("cargo run --release --bin malaria -- ", "malaria ");
    let text = text.replace("cargo run --release -p malaria-edge -- ", "malaria-edge ");
    let blocks = text.split("<!-- run -->\n```\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_marked_commands_succeed() {
    let programs = Path::new(env!("CARGO_BIN_EXE_malaria")).parent().unwrap();
    let edge = programs.join(format!("malaria-edge{EXE_SUFFIX}"));
    assert!(edge.is_file(), "{}: build the whole workspace, as cargo xtask test does", edge.display());
    let others = env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = [programs.to_owned()].into_iter().chain(env::split_paths(&others)).collect();
    let data = tempfile::tempdir().unwrap();
    prepare(data.path());
    let mut run = 0;
    for document in documents() {
        let folder = tempfile::tempdir().unwrap();
        for (number, block) in marked(&fs::read_to_string(&document).unwrap()).iter().enumerate() {
            assert!(!block.contains("cargo "), "{}: {block}", document.display());
            if number == 0 {
                copy_folder(data.path(), folder.path());
            }
            let mut shell = Command::new("sh");
            shell.args(["-e", "-c", block]).current_dir(folder.path()).env("HOME", folder.path());
            shell.env("PATH", env::join_paths(&path).unwrap()).env("OMP_NUM_THREADS", "1");
            succeed(shell.env_remove("MALARIA_DATA").env_remove("MALARIA_RUN"));
            run += block.lines().count();
        }
    }
    assert!(run >= 15, "{run}");
}
