//! Logistic regression by Newton's method, as a trivial baseline.

/// Scales each column to mean 0 and standard deviation 1 on the train rows, and the test rows with the same factors.
pub(crate) fn standardise(train: &mut [Vec<f64>], test: &mut [Vec<f64>]) {
    let rows = train.len() as f64;
    for column in 0..train[0].len() {
        let mean = train.iter().map(|row| row[column]).sum::<f64>() / rows;
        let variance = train.iter().map(|row| (row[column] - mean).powi(2)).sum::<f64>() / rows;
        // A constant column becomes 0.
        let scale = if variance > 0.0 { variance.sqrt().recip() } else { 0.0 };
        for row in train.iter_mut().chain(test.iter_mut()) {
            row[column] = (row[column] - mean) * scale;
        }
    }
}

/// Weights, the bias last, that minimise `sum(log-loss) + l2 / 2 * |weights|^2`; the bias is not penalised.
pub(crate) fn fit(rows: &[Vec<f64>], labels: &[bool], l2: f64) -> Vec<f64> {
    let size = rows[0].len() + 1;
    let mut weights = vec![0.0; size];
    for _ in 0..100 {
        let mut gradient = vec![0.0; size];
        let mut hessian = vec![vec![0.0; size]; size];
        for (i, weight) in weights[..size - 1].iter().enumerate() {
            gradient[i] = l2 * weight;
            hessian[i][i] = l2;
        }
        for (row, &label) in rows.iter().zip(labels) {
            let probability = 1.0 / (1.0 + (-score(&weights, row)).exp());
            let error = probability - f64::from(u8::from(label));
            let curvature = probability * (1.0 - probability);
            for i in 0..size {
                let value = at(row, i);
                gradient[i] += error * value;
                // The lower half suffices, since the matrix is symmetric.
                for (j, cell) in hessian[i][..=i].iter_mut().enumerate() {
                    *cell += curvature * value * at(row, j);
                }
            }
        }
        if gradient.iter().all(|part| part.abs() < 1e-6 * rows.len() as f64) {
            return weights;
        }
        for (weight, step) in weights.iter_mut().zip(solve(hessian, gradient)) {
            *weight -= step;
        }
    }
    panic!("logistic regression did not converge");
}

/// Share of the rows that are classified correctly.
pub(crate) fn accuracy(weights: &[f64], rows: &[Vec<f64>], labels: &[bool]) -> f64 {
    let right = rows.iter().zip(labels).filter(|&(row, &label)| (score(weights, row) > 0.0) == label).count();
    right as f64 / rows.len() as f64
}

fn score(weights: &[f64], row: &[f64]) -> f64 {
    weights.iter().enumerate().map(|(i, weight)| weight * at(row, i)).sum()
}

/// Value `i` of the row followed by a 1 for the bias.
fn at(row: &[f64], i: usize) -> f64 {
    row.get(i).copied().unwrap_or(1.0)
}

/// Solves `matrix * x = right` for a positive definite matrix, of which the lower half is read, by Cholesky.
fn solve(mut matrix: Vec<Vec<f64>>, right: Vec<f64>) -> Vec<f64> {
    let size = right.len();
    for i in 0..size {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            matrix[i][j] =
                if i == j { (matrix[i][i] - sum).sqrt() } else { (matrix[i][j] - sum) / matrix[j][j] };
        }
    }
    let mut x = right;
    for i in 0..size {
        let sum: f64 = (0..i).map(|k| matrix[i][k] * x[k]).sum();
        x[i] = (x[i] - sum) / matrix[i][i];
    }
    for i in (0..size).rev() {
        let sum: f64 = (i + 1..size).map(|k| matrix[k][i] * x[k]).sum();
        x[i] = (x[i] - sum) / matrix[i][i];
    }
    x
}
