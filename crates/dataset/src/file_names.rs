//! What file and folder names mean: which are images, pictures that cannot be read, archives or ignored, and which
//! folders belong to the same class.

use std::path::Path;

/// Extensions of images, in upper or lower case: the tutorial's six, other names of JPEG, and WebP.
pub(crate) const IMAGE_EXTENSIONS: [&str; 9] =
    ["png", "jpg", "jpeg", "jfif", "jpe", "bmp", "tif", "tiff", "webp"];

/// Extensions of pictures that cannot be read: phones' formats, JPEG 2000 and XL, GIF, raw and slide scanners' formats.
const UNREADABLE_EXTENSIONS: [&str; 28] = [
    "heic", "heif", "hif", "avif", "jp2", "j2k", "jpx", "jxl", "gif", "dng", "cr2", "cr3", "crw", "nef",
    "nrw", "arw", "orf", "rw2", "raf", "pef", "srw", "psd", "svs", "ndpi", "scn", "czi", "lif", "vsi",
];
/// Extensions of archives, which may contain pictures.
const ARCHIVE_EXTENSIONS: [&str; 6] = ["zip", "7z", "rar", "tar", "gz", "tgz"];

/// Whether two folders belong to the same class: their names are equal except for case.
pub(crate) fn same_class(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Whether the extension is that of an image.
pub(crate) fn is_image(path: &Path) -> bool {
    has_extension(path, &IMAGE_EXTENSIONS)
}

/// Whether the extension is that of a picture that cannot be read.
pub(crate) fn is_unreadable_picture(path: &Path) -> bool {
    has_extension(path, &UNREADABLE_EXTENSIONS)
}

/// Whether the extension is that of an archive.
pub(crate) fn is_archive(path: &Path) -> bool {
    has_extension(path, &ARCHIVE_EXTENSIONS)
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|found| extensions.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// Whether a file or folder is ignored: hidden, added to a zip by macOS, or a system's folder of deleted files, indexes
/// or thumbnails, whose copies of pictures would count twice.
pub(crate) fn is_ignored_name(name: &str) -> bool {
    let system =
        ["__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "#recycle", "lost+found"];
    name.starts_with('.') || system.iter().any(|system| name.eq_ignore_ascii_case(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_extensions_match_in_upper_and_lower_case() {
        for name in ["a.png", "a.JPG", "a.Jpeg", "a.bmp", "a.TIF", "a.tiff", "a.WebP", "a.b.png"] {
            assert!(is_image(Path::new(name)), "{name}");
        }
        for name in ["a.gif", "a.txt", "png", "a.png.part", "a.", "Thumbs.db"] {
            assert!(!is_image(Path::new(name)), "{name}");
        }
    }
}
