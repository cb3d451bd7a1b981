//! Writing out what a compiler may or may not unroll.

/// An array whose elements are written out, for the indices 0, 1, 2, ... of `$i`.
///
/// A loop over an array of vectors may stay a loop, with the vectors in memory instead of in
/// registers, which makes a microkernel four times slower (measured). Whether it does changes with
/// the compiler, the profile and the code around it; elements that are written out do not.
macro_rules! unroll {
    (1, $i:ident => $value:expr) => {
        unroll!(@ $i $value; 0)
    };
    (2, $i:ident => $value:expr) => {
        unroll!(@ $i $value; 0 1)
    };
    (3, $i:ident => $value:expr) => {
        unroll!(@ $i $value; 0 1 2)
    };
    (4, $i:ident => $value:expr) => {
        unroll!(@ $i $value; 0 1 2 3)
    };
    (5, $i:ident => $value:expr) => {
        unroll!(@ $i $value; 0 1 2 3 4)
    };
    (6, $i:ident => $value:expr) => {
        unroll!(@ $i $value; 0 1 2 3 4 5)
    };
    (8, $i:ident => $value:expr) => {
        unroll!(@ $i $value; 0 1 2 3 4 5 6 7)
    };
    (12, $i:ident => $value:expr) => {
        unroll!(@ $i $value; 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@ $i:ident $value:expr; $($index:literal)*) => {
        [$({ let $i: usize = $index; $value }),*]
    };
}
pub(crate) use unroll;
