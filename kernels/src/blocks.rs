//! In which blocks of rows and panels a matrix product is computed.

/// The methods of a product that compute all rows of some panels, `all_panels(simd, first, count)`, and the microkernels
/// of which they are made: `$microkernel!(name, rows, panels)` writes a method `name(simd, row, panel)`, and the product has
/// a method `rows()`.
///
/// Two panels at a time, and three at once where their number is odd, rather than two and one; of these as many rows as
/// there are registers for their sums, of which AVX-512 has 32 and AVX2 has 16.
macro_rules! blocks {
    ($microkernel:ident) => {
        #[inline(always)]
        fn all_panels(&mut self, simd: S, first: usize, count: usize) {
            let mut panel = first;
            if (count - panel) % 2 == 1 && panel + 3 <= count {
                self.three_panels(simd, panel);
                panel += 3;
            }
            while panel + 2 <= count {
                self.two_panels(simd, panel);
                panel += 2;
            }
            if panel < count {
                self.one_panel(simd, panel);
            }
        }

        blocks!(@rows three_panels; microkernel_8x3 8; ; microkernel_4x3, microkernel_1x3);
        blocks!(@rows two_panels; microkernel_12x2 12, microkernel_8x2 8; microkernel_6x2 6; microkernel_4x2, microkernel_1x2);
        blocks!(@rows one_panel; microkernel_12x1 12, microkernel_8x1 8; microkernel_6x1 6; microkernel_4x1, microkernel_1x1);
        $microkernel!(microkernel_8x3, 8, 3);
        $microkernel!(microkernel_4x3, 4, 3);
        $microkernel!(microkernel_1x3, 1, 3);
        $microkernel!(microkernel_12x2, 12, 2);
        $microkernel!(microkernel_8x2, 8, 2);
        $microkernel!(microkernel_6x2, 6, 2);
        $microkernel!(microkernel_4x2, 4, 2);
        $microkernel!(microkernel_1x2, 1, 2);
        $microkernel!(microkernel_12x1, 12, 1);
        $microkernel!(microkernel_8x1, 8, 1);
        $microkernel!(microkernel_6x1, 6, 1);
        $microkernel!(microkernel_4x1, 4, 1);
        $microkernel!(microkernel_1x1, 1, 1);
    };
    // All rows of a few panels: blocks for AVX-512, blocks for AVX2, four rows and one.
    (@rows $name:ident; $($of_32:ident $many:literal),*; $($of_16:ident $few:literal),*; $of_4:ident, $of_1:ident) => {
        #[inline(always)]
        fn $name(&mut self, simd: S, panel: usize) {
            let mut row = 0;
            $(while S::F32_LANES == 16 && row + $many <= self.rows() {
                self.$of_32(simd, row, panel);
                row += $many;
            })*
            $(while S::F32_LANES != 16 && row + $few <= self.rows() {
                self.$of_16(simd, row, panel);
                row += $few;
            })*
            while row + 4 <= self.rows() {
                self.$of_4(simd, row, panel);
                row += 4;
            }
            while row < self.rows() {
                self.$of_1(simd, row, panel);
                row += 1;
            }
        }
    };
}
pub(crate) use blocks;
