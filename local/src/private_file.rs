//! Files and folders that only their owner may read. A link in the place of a file leads nowhere else.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Result, Write as _};
use std::path::Path;

/// Creates an empty file in place of the one that may exist, because an existing file would keep its mode.
pub fn create(path: &Path) -> Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes a file anew. Whoever reads it finds it whole or not at all.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    create(Path::new(&fresh))?.write_all(content)?;
    std::fs::rename(&fresh, path)
}

/// Opens a file whose content is nothing, and creates it if it is not there.
pub fn open_empty(path: &Path) -> Result<File> {
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => File::open(path),
        Ok(_) => Err(std::io::Error::new(ErrorKind::InvalidInput, format!("{} is no file", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => create(path),
        Err(error) => Err(error),
    }
}

/// Creates a folder, if it is not there, with those above it.
pub fn create_folder(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
