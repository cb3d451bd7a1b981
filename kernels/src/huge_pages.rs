//! A buffer for what is as large as a model.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

use crate::buffer::AlignedBuffer;

/// Size of a huge page of x86-64 and of most others, in bytes.
const HUGE_PAGE: usize = 2 << 20;

/// `float32` values or the bytes of a file, zero at first. What fills a huge page lies in pages of its own, and the system
/// is asked for huge ones: most processes touch each page of a model but once or twice, and a fresh page of 4 KiB costs one
/// to four microseconds on a virtual machine, more than reading what is then in it.
#[derive(Debug)]
pub struct HugePageBuffer(Place);

#[derive(Debug)]
enum Place {
    Heap(AlignedBuffer),
    Pages(MmapMut),
}

impl HugePageBuffer {
    /// So many values.
    pub fn zeroed(values: usize) -> HugePageBuffer {
        let bytes = values.saturating_mul(size_of::<f32>());
        // Where the system has no such pages to give, the heap has it or says that there is none.
        match (bytes >= HUGE_PAGE).then(|| MmapMut::map_anon(bytes)) {
            Some(Ok(pages)) => {
                // Not every system has huge pages: small ones are as good, only slower.
                #[cfg(target_os = "linux")]
                let _ = pages.advise(memmap2::Advice::HugePage);
                HugePageBuffer(Place::Pages(pages))
            }
            _ => HugePageBuffer(Place::Heap(AlignedBuffer::zeroed(values))),
        }
    }

    /// The bytes of the values.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(self)
    }
}

impl From<AlignedBuffer> for HugePageBuffer {
    fn from(values: AlignedBuffer) -> HugePageBuffer {
        HugePageBuffer(Place::Heap(values))
    }
}

impl Deref for HugePageBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Place::Heap(values) => values,
            Place::Pages(pages) => bytemuck::cast_slice(pages),
        }
    }
}

impl DerefMut for HugePageBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Place::Heap(values) => values,
            Place::Pages(pages) => bytemuck::cast_slice_mut(pages),
        }
    }
}

/// The bytes of the values.
impl AsRef<[u8]> for HugePageBuffer {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_buffers_are_zero_and_keep_what_is_written() {
        for values in [0, 1, HUGE_PAGE / 4 - 1, HUGE_PAGE / 4, HUGE_PAGE] {
            let mut buffer = HugePageBuffer::zeroed(values);
            assert_eq!(matches!(buffer.0, Place::Pages(_)), values >= HUGE_PAGE / 4);
            assert!(buffer.len() == values && buffer.iter().all(|&value| value == 0.0));
            buffer.iter_mut().zip(0u16..=u16::MAX).for_each(|(value, number)| *value = number.into());
            assert!(buffer.iter().zip(0u16..=u16::MAX).all(|(&value, number)| value == f32::from(number)));
            buffer.as_bytes_mut().fill(0x40);
            let bytes: &[u8] = buffer.as_ref();
            assert!(bytes.len() == 4 * values && bytes.iter().all(|&byte| byte == 0x40));
            assert!(buffer.iter().all(|&value| value == f32::from_bits(0x4040_4040)));
        }
    }
}
