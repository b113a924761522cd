//! Sums and products of matrices.

use super::{Shape, reader::Reader};
use crate::equality::{algebra::Frac, why::Why};

impl Reader<'_> {
    pub(crate) fn matrix_sum(&mut self, a: Shape, b: Shape) -> Result<Shape, Why> {
        let (Shape::Matrix(left), Shape::Matrix(right)) = (a, b) else { return Err(Why::Forms) };
        if left.len() != right.len() || left[0].len() != right[0].len() {
            return Err(Why::Undefined);
        }
        let mut rows = Vec::new();
        for (left, right) in left.into_iter().zip(&right) {
            let mut cells = Vec::new();
            for (a, b) in left.into_iter().zip(right) {
                let (Shape::Value(a), Shape::Value(b)) = (a, b) else { return Err(Why::Forms) };
                cells.push(Shape::value(self.algebra.add(a.frac, &b.frac)?));
            }
            rows.push(cells);
        }
        Ok(Shape::Matrix(rows))
    }

    pub(crate) fn matrix_product(&mut self, a: Shape, b: Shape) -> Result<Shape, Why> {
        match (a, b) {
            (Shape::Value(scale), Shape::Matrix(rows)) | (Shape::Matrix(rows), Shape::Value(scale)) => {
                let mut out = Vec::new();
                for row in rows {
                    let mut cells = Vec::new();
                    for cell in row {
                        let Shape::Value(cell) = cell else { return Err(Why::Forms) };
                        cells.push(Shape::value(self.algebra.mul(&scale.frac, &cell.frac)?));
                    }
                    out.push(cells);
                }
                Ok(Shape::Matrix(out))
            }
            (Shape::Matrix(left), Shape::Matrix(right)) if left[0].len() == right.len() => {
                let mut out = Vec::new();
                for row in &left {
                    let mut cells = Vec::new();
                    for column in 0..right[0].len() {
                        let mut sum = Frac::integer(0);
                        for (a, other) in row.iter().zip(&right) {
                            let (Shape::Value(a), Shape::Value(b)) = (a, &other[column]) else {
                                return Err(Why::Forms);
                            };
                            let part = self.algebra.mul(&a.frac, &b.frac)?;
                            sum = self.algebra.add(sum, &part)?;
                        }
                        cells.push(Shape::value(sum));
                    }
                    out.push(cells);
                }
                Ok(Shape::Matrix(out))
            }
            _ => Err(Why::Forms),
        }
    }
}
