//! Memory for what is as large as a model.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Size of a huge page of x86-64 and of most others, in bytes.
const HUGE_PAGE: usize = 2 << 20;

/// `float32` values, zero at first. Where they fill a huge page they lie in pages of their own, and the system is asked
/// for huge ones: most processes touch each page of a model but once or twice, and a fresh page of 4 KiB costs one to four
/// microseconds on a virtual machine, more than reading what is then in it.
#[derive(Debug)]
pub struct Memory(Place);

#[derive(Debug)]
enum Place {
    Heap(Vec<f32>),
    Pages(MmapMut),
}

impl Memory {
    /// So many values.
    pub fn zeroed(values: usize) -> Memory {
        let bytes = values.saturating_mul(size_of::<f32>());
        // Where the system has no such memory to give, the heap has it or says that there is none.
        match (bytes >= HUGE_PAGE).then(|| MmapMut::map_anon(bytes)) {
            Some(Ok(pages)) => {
                // Not every system has huge pages: small ones are as good, only slower.
                #[cfg(target_os = "linux")]
                let _ = pages.advise(memmap2::Advice::HugePage);
                Memory(Place::Pages(pages))
            }
            _ => Memory(Place::Heap(vec![0.0; values])),
        }
    }

    /// The bytes of the values.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(self)
    }
}

impl From<Vec<f32>> for Memory {
    fn from(values: Vec<f32>) -> Memory {
        Memory(Place::Heap(values))
    }
}

impl Deref for Memory {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Place::Heap(values) => values,
            Place::Pages(pages) => bytemuck::cast_slice(pages),
        }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Place::Heap(values) => values,
            Place::Pages(pages) => bytemuck::cast_slice_mut(pages),
        }
    }
}

/// The bytes of the values.
impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_memory_is_zero_and_keeps_what_is_written() {
        for values in [0, 1, HUGE_PAGE / 4 - 1, HUGE_PAGE / 4, HUGE_PAGE] {
            let mut memory = Memory::zeroed(values);
            assert_eq!(matches!(memory.0, Place::Pages(_)), values >= HUGE_PAGE / 4);
            assert!(memory.len() == values && memory.iter().all(|&value| value == 0.0));
            memory.iter_mut().zip(0u16..=u16::MAX).for_each(|(value, number)| *value = number.into());
            assert!(memory.iter().zip(0u16..=u16::MAX).all(|(&value, number)| value == f32::from(number)));
            memory.as_bytes_mut().fill(0x40);
            let bytes: &[u8] = memory.as_ref();
            assert!(bytes.len() == 4 * values && bytes.iter().all(|&byte| byte == 0x40));
            assert!(memory.iter().all(|&value| value == f32::from_bits(0x4040_4040)));
        }
    }
}
