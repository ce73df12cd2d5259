//! Checks, before decoding, that the cells will fit in memory.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::error::{Error, Result};

/// Refuses `cells` of `pixels` per side that take more memory than is free, since the system would kill the process without
/// a message.
///
/// # Errors
/// [`Error::Memory`] then.
pub(crate) fn check_memory(cells: usize, pixels: u32) -> Result<()> {
    fits(cells, pixels, free())
}

fn fits(cells: usize, pixels: u32, free: Option<u64>) -> Result<()> {
    // [pixels, pixels, 3] bytes per cell.
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

/// Free memory in bytes, according to the machine and to the process's control group; `None` if both are unknown.
fn free() -> Option<u64> {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kind);
    let machine = Some(system.available_memory()).filter(|&bytes| bytes > 0);
    // `limits.free_memory` counts the file cache as used, although the system releases it on demand.
    let group = system.cgroup_limits().map(|limits| limits.total_memory.saturating_sub(limits.rss));
    machine.into_iter().chain(group).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_exceed_free_memory_are_refused() {
        let needed = 1_000 * 64 * 64 * 3;
        assert!(fits(1_000, 64, Some(needed)).is_ok());
        assert!(fits(1_000, 64, None).is_ok());
        let message = fits(1_000, 64, Some(needed - 1)).unwrap_err().to_string();
        assert!(message.contains("1000 cells of 64 x 64"), "{message}");
        assert!(fits(usize::MAX, u32::MAX, Some(needed)).is_err());
    }
}
