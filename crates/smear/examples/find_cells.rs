//! Finds the cells of photographs and writes them as CSV: `find_cells CELLS.csv PHOTO…`. Cells are lines with nothing in `excluded`.
#![allow(clippy::print_stderr)]
//! With `--debug FOLDER` first, every step is written into a folder of each photograph.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use malaria_smear::{Kind, find_cells, find_cells_and_write_steps, read_photo};
use rayon::prelude::*;

fn main() -> anyhow::Result<()> {
    let mut arguments = Vec::from_iter(std::env::args_os().skip(1).map(PathBuf::from));
    let mut debug = None;
    if arguments.first().is_some_and(|first| first == Path::new("--debug")) && arguments.len() > 1 {
        debug = Some(arguments.remove(1));
        arguments.remove(0);
    }
    let [out, photos @ ..] = arguments.as_slice() else { bail!("expected CELLS.csv PHOTO…") };
    let lines = photos.par_iter().map(|path| {
        let cells = lines(path, debug.as_deref());
        cells.unwrap_or_else(|error| {
            eprintln!("{}: {error:#}", path.display());
            String::new()
        })
    });
    let lines: String = lines.collect();
    let head = "image,x,y,w,h,area,diameter,touches_border,excluded\n";
    malaria_files::write(out, format!("{head}{lines}").as_bytes()).context("cannot write the cells")
}

fn lines(path: &Path, debug: Option<&Path>) -> anyhow::Result<String> {
    let (photo, _) = read_photo(path)?;
    let name = path.file_name().context("no name")?.to_string_lossy();
    let smear = match debug {
        Some(folder) => {
            let folder = folder.join(&*name);
            std::fs::create_dir_all(&folder)?;
            find_cells_and_write_steps(&photo, &folder)?
        }
        None => find_cells(&photo)?,
    };
    smear.caveats.iter().for_each(|caveat| eprintln!("{name}: {caveat}"));
    let line = |object: &malaria_smear::Object| {
        let (bounds, kind) = (object.bounds, object.kind);
        let excluded = if kind == Kind::RedCell { String::new() } else { kind.to_string() };
        format!(
            "{name},{},{},{},{},{:.0},{:.1},{},{excluded}\n",
            bounds.x,
            bounds.y,
            bounds.width,
            bounds.height,
            object.area,
            object.diameter,
            object.touches_border
        )
    };
    Ok(smear.objects.iter().map(line).collect())
}
