//! Which instructions of the processor the decoder uses, found out when it runs.
//!
//! One build serves every machine. Whatever is chosen, the results are the same. Knows nothing of what is done with them.

/// A set of instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instructions {
    /// True only where all of them were detected: unsafe code relies on it.
    avx2: bool,
}

impl Instructions {
    /// What every processor of the architecture has.
    pub const BASELINE: Instructions = Instructions { avx2: false };

    /// The best that this processor has.
    pub fn best() -> Instructions {
        #[cfg(target_arch = "x86_64")]
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        #[cfg(not(target_arch = "x86_64"))]
        let avx2 = false;
        Instructions { avx2 }
    }

    /// Whether there are AVX2, BMI1, BMI2, LZCNT and POPCNT of an x86-64.
    pub fn has_avx2(self) -> bool {
        self.avx2
    }
}
