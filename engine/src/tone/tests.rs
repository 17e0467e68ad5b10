use super::*;

/// The power of a frequency among samples (Goertzel).
fn power(samples: &[f32], frequency: u32) -> f32 {
    let turn = 2.0 * (TAU * frequency as f32 / RATE as f32).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for sample in samples {
        (last, before) = (sample + turn * last - before, last);
    }
    (last * last + before * before - turn * last * before) / samples.len() as f32
}

fn mu_law_decoded(byte: u8) -> f32 {
    let byte = !byte;
    let magnitude = ((i32::from(byte & 0xf) << 3) + 0x84) << (byte >> 4 & 7);
    (if byte & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude }) as f32
}

fn a_law_decoded(byte: u8) -> f32 {
    let byte = byte ^ 0x55;
    let (segment, step) = (i32::from(byte >> 4 & 7), i32::from(byte & 0xf) << 4);
    let magnitude = if segment == 0 { step + 8 } else { (step + 0x108) << (segment - 1) };
    (if byte & 0x80 == 0 { -magnitude } else { magnitude }) as f32
}

#[test]
fn samples_are_written_as_g_711_has_them() {
    let known = [(0, 0xff, 0xd5), (i16::MAX, 0x80, 0xaa), (i16::MIN, 0x00, 0x2a), (-1, 0x7f, 0x55)];
    for (sample, mu, a) in known {
        assert_eq!((Law::Mu.encode(sample), Law::A.encode(sample)), (mu, a), "{sample}");
    }
    for byte in 0..=255 {
        let again = Law::Mu.encode(mu_law_decoded(byte) as i16);
        assert!(again == byte || byte == 0x7f && again == 0xff, "{byte:x} {again:x}");
        assert_eq!(Law::A.encode(a_law_decoded(byte) as i16), byte);
    }
}

#[test]
fn each_digit_is_its_two_tones_across_pieces() {
    let pad = ["1 2 3 A", "4 5 6 B", "7 8 9 C", "* 0 # D"];
    let names = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#", "A", "B", "C", "D"];
    for (law, decoded) in [(Law::Mu, mu_law_decoded as fn(u8) -> f32), (Law::A, a_law_decoded)] {
        for (event, name) in (0..).zip(names) {
            let mut sound = [0; 800];
            for (piece, at) in sound.chunks_mut(160).zip((0..).step_by(160)) {
                Tone { event, attenuation: 8, law, at }.fill(piece);
            }
            let samples = sound.map(decoded);
            let loudest = |of: [u32; 4]| {
                let powers = of.map(|frequency| power(&samples, frequency));
                let max = powers.into_iter().fold(0.0, f32::max);
                let others: f32 = powers.iter().filter(|power| **power < max).sum();
                assert!(max > 50.0 * others, "{name}: {powers:?}");
                powers.iter().position(|power| *power == max).unwrap()
            };
            let (row, column) = (loudest(ROWS), loudest(COLUMNS));
            assert_eq!(pad[row].split(' ').nth(column), Some(name));
        }
    }
}

#[test]
fn a_digit_is_as_loud_as_asked() {
    for attenuation in [4, 8, 20] {
        let mut sound = [0; 8000];
        Tone { event: 5, attenuation, law: Law::A, at: 0 }.fill(&mut sound);
        let square: f32 = sound.iter().map(|byte| a_law_decoded(*byte).powi(2)).sum();
        // Two waves of equal power, and a sine of 0 dBm0 has half the square of its amplitude.
        let level = 10.0 * (square / 8000.0 / (REFERENCE * REFERENCE / 2.0)).log10() - 3.01;
        assert!((level + f32::from(attenuation)).abs() < 0.3, "{attenuation}: {level}");
    }
}
