//! Whether what is to be read fits into memory, asked before hours are spent on it.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::error::{Error, Result};

/// Refuses `cells` of `pixels` a side that take more memory than is free: the system would end the process without a word.
///
/// # Errors
/// [`Error::Memory`] then.
pub(crate) fn check_room(cells: usize, pixels: u32) -> Result<()> {
    fits(cells, pixels, free())
}

fn fits(cells: usize, pixels: u32, free: Option<u64>) -> Result<()> {
    // [pixels, pixels, 3] bytes a cell.
    let cell = u64::from(pixels).pow(2).saturating_mul(3);
    let needed = cell.saturating_mul(cells as u64);
    match free.filter(|&free| needed > free) {
        Some(free) => Err(Error::Memory { cells, pixels, needed: gigabytes(needed), free: gigabytes(free) }),
        None => Ok(()),
    }
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

/// Bytes that this process may still take, by the machine and by its control group; `None` where neither tells.
fn free() -> Option<u64> {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kind);
    let machine = Some(system.available_memory()).filter(|&bytes| bytes > 0);
    // Less what its processes hold; what it says is free leaves out the cache of files, which is given up when it is needed.
    let group = system.cgroup_limits().map(|limits| limits.total_memory.saturating_sub(limits.rss));
    machine.into_iter().chain(group).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_let_through_and_the_rest_told_by_how_much_it_does_not() {
        let needed = 1_000 * 64 * 64 * 3;
        assert!(fits(1_000, 64, Some(needed)).is_ok());
        assert!(fits(1_000, 64, None).is_ok());
        let said = fits(1_000, 64, Some(needed - 1)).unwrap_err().to_string();
        assert!(said.contains("1000 cells of 64 x 64"), "{said}");
        assert!(fits(usize::MAX, u32::MAX, Some(needed)).is_err());
    }

    #[test]
    fn this_process_has_some_memory_left() {
        let free = free().unwrap();
        assert!(free > 1 << 20, "{free}");
    }
}
