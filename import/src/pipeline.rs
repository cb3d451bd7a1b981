//! From items to pixels of one form: decoded and resized on all processors, kept on disk. What is in memory at a time is a few
//! images, and a record of about a hundred bytes for each that was taken.

use std::collections::HashMap;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use datasets::{Digest, ImageShape, Preprocessing};
use image::{DynamicImage, GrayImage, RgbImage};
use infer::{decode, preprocess};

use crate::error::{Error, Result};
use crate::hash::difference_hash;
use crate::item::{Content, Item, Part};
use crate::report::LeftOut;
use crate::spool::{Spool, Stored};
use crate::text::composed;

/// Bytes that images may take which are decoded at the same time.
const DECODING: u64 = 160 << 20;

/// What all images of a dataset have in common.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) size: Option<[usize; 2]>,
    pub(crate) channels: Option<usize>,
    pub(crate) preprocessing: Preprocessing,
}

/// An image that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) part: Part,
    /// Index into [`Collected::labels`].
    pub(crate) label: u32,
    pub(crate) origin: Box<str>,
    /// Rows and columns of the image as it came.
    pub(crate) size: [u32; 2],
    /// sha256 of its pixels.
    pub(crate) digest: Digest,
    /// Whether every channel has one value.
    pub(crate) is_constant: bool,
    /// What near images nearly share.
    pub(crate) hash: u64,
    pub(crate) stored: Stored,
}

/// All that was taken from a source.
pub(crate) struct Collected {
    pub(crate) shape: ImageShape,
    /// Labels as they were met.
    pub(crate) labels: Vec<String>,
    /// In the order of the source.
    pub(crate) records: Vec<Record>,
    pub(crate) spool: Spool,
    /// Images that cannot be read.
    pub(crate) unreadable: Vec<LeftOut>,
    /// Files that are no images.
    pub(crate) left_out: Vec<LeftOut>,
    /// Files of several images, of which the first was taken.
    pub(crate) several: usize,
}

/// Told how many images were read.
pub(crate) type Progress<'a> = dyn Fn(usize) + Sync + 'a;

/// What a worker made of an item.
enum Made {
    Taken { record: Record, label: String, pixels: Vec<u8> },
    Unreadable(LeftOut),
    NoImage(LeftOut),
}

/// Takes all items that `source` gives; pixels go into a file in `dir`.
///
/// # Errors
/// Those of `source`, and the first image that does not have the size of the others.
pub(crate) fn collect(
    source: impl FnOnce(&mut dyn FnMut(Item) -> Result<()>) -> Result<()>,
    form: &Form,
    dir: &Path,
    progress: &Progress<'_>,
) -> Result<Collected> {
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    // Files are up to 64 MiB each: few of them wait.
    let (jobs, waiting) = sync_channel::<(usize, Item)>(2);
    let (made, finished) = sync_channel::<Result<(usize, Made)>>(2 * workers);
    // Gone with the last worker: nobody waits then to give items that nobody takes.
    let waiting = Arc::new(Mutex::new(waiting));
    let room = Room::default();
    let size = std::sync::OnceLock::new();
    if let Some(size_given) = form.size {
        size.get_or_init(|| (size_given, None));
    }
    let several = AtomicUsize::new(0);
    let maker = Maker { form, size: &size, room: &room, several: &several };
    let mut spool = Spool::create(dir)?;
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (made, waiting, maker) = (made.clone(), Arc::clone(&waiting), &maker);
            scope.spawn(move || work(maker, &waiting, &made));
        }
        drop((made, waiting));
        let collector = scope.spawn(|| gather(finished, &mut spool, progress));
        let read = feed(source, &maker, jobs);
        let gathered = collector.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // What stopped the collecting stopped the reading.
        let gathered = gathered?;
        read?;
        Ok(gathered)
    })
    .and_then(|gathered| gathered.collected(form, &size, spool, several.load(Ordering::Relaxed)))
}

/// Size that all have, and the image that decided it.
type Size = std::sync::OnceLock<([usize; 2], Option<String>)>;

/// Gives items to the workers. The first decides the size of all, if nothing was asked for.
fn feed(
    source: impl FnOnce(&mut dyn FnMut(Item) -> Result<()>) -> Result<()>,
    maker: &Maker<'_>,
    jobs: SyncSender<(usize, Item)>,
) -> Result<()> {
    let mut count = 0;
    source(&mut |item| {
        if maker.size.get().is_none() {
            maker.decide_size(&item);
        }
        let gone = |_| Error::new(Path::new(""), "stopped");
        jobs.send((count, item)).map_err(gone)?;
        count += 1;
        Ok(())
    })
}

fn work(
    maker: &Maker<'_>,
    waiting: &Mutex<Receiver<(usize, Item)>>,
    made: &SyncSender<Result<(usize, Made)>>,
) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((index, item)) = next else { return };
        if made.send(maker.make(item).map(|made| (index, made))).is_err() {
            return;
        }
    }
}

/// What came out of all items, by their numbers.
#[derive(Default)]
struct Gathered {
    labels: Vec<String>,
    records: Vec<(usize, Record)>,
    unreadable: Vec<(usize, LeftOut)>,
    left_out: Vec<(usize, LeftOut)>,
}

fn gather(
    finished: Receiver<Result<(usize, Made)>>,
    spool: &mut Spool,
    progress: &Progress<'_>,
) -> Result<Gathered> {
    let mut all = Gathered::default();
    let mut numbers: HashMap<String, u32> = HashMap::new();
    for (count, made) in finished.into_iter().enumerate() {
        match made? {
            (index, Made::Taken { mut record, label, pixels }) => {
                record.label = *numbers.entry(label).or_insert_with_key(|label| {
                    all.labels.push(label.clone());
                    all.labels.len() as u32 - 1
                });
                record.stored = spool.add(&pixels)?;
                all.records.push((index, record));
            }
            (index, Made::Unreadable(left_out)) => all.unreadable.push((index, left_out)),
            (index, Made::NoImage(left_out)) => all.left_out.push((index, left_out)),
        }
        progress(count + 1);
    }
    Ok(all)
}

impl Gathered {
    fn collected(mut self, form: &Form, size: &Size, spool: Spool, several: usize) -> Result<Collected> {
        self.records.sort_by_key(|(index, _)| *index);
        let in_order = |mut list: Vec<(usize, LeftOut)>| {
            list.sort_by_key(|(index, _)| *index);
            list.into_iter().map(|(_, left_out)| left_out).collect::<Vec<_>>()
        };
        let (unreadable, left_out) = (in_order(self.unreadable), in_order(self.left_out));
        let [height, width] = size.get().map_or([0; 2], |(size, _)| *size);
        let pixels = height * width;
        let has_colour = self.records.iter().any(|(_, record)| record.stored.length > pixels);
        let channels = form.channels.unwrap_or(if has_colour { 3 } else { 1 });
        let spool = spool.finish(channels * pixels)?;
        let mut records: Vec<Record> = self.records.into_iter().map(|(_, record)| record).collect();
        // What a grey image is among coloured ones is known only now.
        for record in records.iter_mut().filter(|record| record.stored.length < channels * pixels) {
            record.digest = Digest::of(&spool.read(record.stored)?);
        }
        let shape = ImageShape { channels, height, width };
        Ok(Collected { shape, labels: self.labels, records, spool, unreadable, left_out, several })
    }
}

/// Bytes that are free for decoding.
struct Room {
    left: Mutex<u64>,
    changed: Condvar,
}

impl Default for Room {
    fn default() -> Room {
        Room { left: Mutex::new(DECODING), changed: Condvar::new() }
    }
}

impl Room {
    /// Waits until there is room for so many bytes, or for all if they are more, and runs `work`.
    fn with<T>(&self, bytes: u64, work: impl FnOnce() -> T) -> T {
        let bytes = bytes.min(DECODING);
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left =
            self.changed.wait_while(left, |left| *left < bytes).unwrap_or_else(PoisonError::into_inner);
        *left -= bytes;
        drop(left);
        let outcome = work();
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
        self.changed.notify_all();
        outcome
    }
}

struct Maker<'a> {
    form: &'a Form,
    size: &'a Size,
    room: &'a Room,
    several: &'a AtomicUsize,
}

impl Maker<'_> {
    /// The size of an image, if it can be read, becomes that of all.
    fn decide_size(&self, item: &Item) {
        let size = match &item.content {
            Content::Unreadable(_) | Content::NoLabel => None,
            Content::Pixels { shape, .. } => Some([shape[1], shape[2]]),
            Content::File(bytes) => self.decode(bytes, &item.origin).ok().map(|photo| {
                let (width, height) = photo.size;
                [height as usize, width as usize]
            }),
        };
        if let Some(size) = size {
            self.size.get_or_init(|| (size, Some(item.origin.clone())));
        }
    }

    fn decode(&self, bytes: &[u8], origin: &str) -> std::result::Result<decode::Photo, String> {
        let pixels = decode::pixels(bytes).unwrap_or(0);
        // Large JPEG files are read at a part of their size.
        let is_jpeg = bytes.starts_with(&[0xff, 0xd8]);
        let cost = pixels.saturating_mul(if is_jpeg { 2 } else { 8 });
        let path = Path::new(origin);
        let decoded = self.room.with(cost, || decode::decode_within(bytes, path, DECODING));
        decoded.map_err(|error| {
            let text = error.to_string();
            text.strip_prefix(&format!("{origin}: ")).map_or(text.clone(), str::to_owned)
        })
    }

    fn make(&self, item: Item) -> Result<Made> {
        let Item { part, label, origin, content, is_surely_image } = item;
        let label = composed(&label);
        let refuse = |why: String| Ok(Made::Unreadable(LeftOut { name: origin.clone(), why }));
        let (image, size) = match content {
            Content::Unreadable(why) => return refuse(why),
            Content::NoLabel => {
                return Ok(Made::NoImage(LeftOut { name: origin, why: "without a label".into() }));
            }
            Content::File(bytes) => match self.decode(&bytes, &origin) {
                Ok(photo) => {
                    self.several.fetch_add(photo.has_more.into(), Ordering::Relaxed);
                    let (width, height) = photo.size;
                    (photo.image, [height, width])
                }
                Err(why)
                    if !is_surely_image && image::guess_format(&bytes).is_err() && !has_ending(&origin) =>
                {
                    return Ok(Made::NoImage(LeftOut { name: origin, why }));
                }
                Err(why) => return refuse(why),
            },
            Content::Pixels { shape, pixels } => {
                if let Some(pixels) = self.as_they_are(shape, &pixels) {
                    let size = [shape[1] as u32, shape[2] as u32];
                    return Ok(self.taken(part, label, origin, size, pixels));
                }
                let Some(image) = from_planes(shape, &pixels) else {
                    return refuse(format!("{shape:?}: no image [C, H, W] with 1 or 3 channels"));
                };
                (image, [shape[1] as u32, shape[2] as u32])
            }
        };
        let (wanted, decided_by) = self.size.get().expect("the first image that can be read decides it");
        let found = size.map(|length| length as usize);
        if let (None, Some(first)) = (self.form.size, decided_by)
            && found != *wanted
        {
            let [height, width] = *wanted;
            let problem = format!(
                "{}x{} pixels, others {height}x{width} ({first}); choose a --size",
                found[0], found[1]
            );
            return Err(Error::new(Path::new(&origin), problem));
        }
        let channels = self.form.channels.unwrap_or_else(|| if has_colour(&image) { 3 } else { 1 });
        let shape = ImageShape { channels, height: wanted[0], width: wanted[1] };
        let pixels = preprocess::preprocess(&image, &self.form.preprocessing, shape);
        Ok(self.taken(part, label, origin, size, pixels))
    }

    /// Pixels of an array that has the form of the dataset already.
    fn as_they_are(&self, [channels, height, width]: [usize; 3], pixels: &[u8]) -> Option<Vec<u8>> {
        let same = self.size.get().is_some_and(|(size, _)| *size == [height, width]);
        (same && self.form.channels.is_none_or(|wanted| wanted == channels)).then(|| pixels.to_vec())
    }

    fn taken(&self, part: Part, label: String, origin: String, size: [u32; 2], pixels: Vec<u8>) -> Made {
        let [height, width] = self.size.get().map_or([0; 2], |(size, _)| *size);
        let record = Record {
            part,
            label: 0,
            origin: origin.into(),
            size,
            digest: Digest::of(&pixels),
            is_constant: is_constant(&pixels, height * width),
            hash: difference_hash(&pixels, [height, width]),
            stored: Stored::default(),
        };
        Made::Taken { record, label, pixels }
    }
}

/// Whether every channel has one value.
fn is_constant(pixels: &[u8], plane: usize) -> bool {
    pixels.chunks_exact(plane.max(1)).all(|channel| channel.iter().all(|value| *value == channel[0]))
}

/// Whether a name ends as images' names do.
fn has_ending(origin: &str) -> bool {
    origin.rsplit('/').next().is_some_and(|name| name.contains('.'))
}

fn has_colour(image: &DynamicImage) -> bool {
    image.color().has_color()
        && image.to_rgb8().pixels().any(|pixel| pixel.0[0] != pixel.0[1] || pixel.0[1] != pixel.0[2])
}

/// An image of planes `[C, H, W]`.
fn from_planes([channels, height, width]: [usize; 3], pixels: &[u8]) -> Option<DynamicImage> {
    let (w, h) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    match channels {
        1 => GrayImage::from_raw(w, h, pixels.to_vec()).map(DynamicImage::from),
        3 => {
            let plane = height * width;
            let interleaved =
                (0..plane).flat_map(|at| [pixels[at], pixels[plane + at], pixels[2 * plane + at]]);
            RgbImage::from_raw(w, h, interleaved.collect()).map(DynamicImage::from)
        }
        _ => None,
    }
}
