//! Work on several threads at a time.

/// What `work` gives for each item, in order, computed by a thread for each.
///
/// # Panics
/// If `work` does: a fault of the program, passed on as it is.
pub(crate) fn map<I: Send, T: Send>(
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_come_in_the_order_of_the_items() {
        assert_eq!(super::map(0..20, |i| i * i), (0..20).map(|i| i * i).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "an invariant")]
    fn a_panic_is_passed_on() {
        super::map([1, 2], |i| assert!(i != 2, "an invariant"));
    }
}
