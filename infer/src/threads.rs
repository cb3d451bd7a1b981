//! Work on several threads at a time.

use crate::error::{Error, Result};

/// What `work` gives for each item, in order, computed by a thread for each.
///
/// # Errors
/// [`Error::Threads`] if the system gives no more threads.
///
/// # Panics
/// If `work` does: a fault of the program, passed on as it is.
pub(crate) fn map<I: Send, T: Send>(
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> T + Sync,
) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let work = &work;
        let start = |item| std::thread::Builder::new().spawn_scoped(scope, move || work(item));
        let threads = items.into_iter().map(start).collect::<std::io::Result<Vec<_>>>();
        let joined = threads.map_err(Error::Threads)?.into_iter().map(|thread| thread.join());
        Ok(joined.map(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect())
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_come_in_the_order_of_the_items() {
        assert_eq!(super::map(0..20, |i| i * i).unwrap(), (0..20).map(|i| i * i).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "an invariant")]
    fn a_panic_is_passed_on() {
        super::map([1, 2], |i| assert!(i != 2, "an invariant")).unwrap();
    }
}
