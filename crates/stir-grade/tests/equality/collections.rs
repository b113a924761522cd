//! Tuples, lists, sets, intervals, relations and matrices.

use stir_grade::{
    Verdict::{Different, Equal, Unclear},
    equality::Options,
};

use super::check;

#[test]
fn tuples_lists_and_sets() {
    check(&[
        ("(1,2)", "(1, 2)", Equal, "identical"),
        ("(1,0.5)", r"(1, \frac12)", Equal, "tuple"),
        ("(1,2)", "(2,1)", Different, "tuple"),
        ("(1,2)", "(1,2,3)", Different, "tuple"),
        ("(1,2)", "1,2", Equal, "tuple"),
        ("1,2", "(1,2)", Unclear, "tuple"),
        ("1,2,3", "3, 1, 2", Equal, "list"),
        ("1,2,3", "1,2", Different, "list"),
        ("1,1,2", "1,2", Different, "list"),
        ("1,2", "1,2,2", Equal, "list"),
        ("1 and 2", "2 or 1", Equal, "list"),
        (r"\{1,2\}", r"\{2,1,2\}", Equal, "set"),
        (r"\{1,2\}", "2,1", Equal, "set"),
        (r"\{5\}", "5", Equal, "set"),
        (r"\{\}", r"\emptyset", Equal, "set"),
        (r"\pm 3", "3,-3", Equal, "list"),
        (r"\pm 3", "3", Different, "forms"),
        (r"1 \pm \sqrt{19}", r"1+\sqrt{19}, 1-\sqrt{19}", Equal, "list"),
        (r"\{1\pm\sqrt5,-2\}", r"-2, 1-\sqrt5, 1+\sqrt5", Equal, "set"),
        (r"\frac{1\pm\sqrt5}{2}", r"\frac{1\mp\sqrt5}{2}", Equal, "list"),
        ("(1,2), (3,4)", "(3,4) and (1,2)", Equal, "list"),
        ("100,200", "200, 100", Equal, "list"),
        ("2,5", "2.5", Different, "forms"),
        ("2,75", "2.75", Equal, "number"),
        (r"\frac12", r"\frac12 or 0.5", Equal, "list"),
        (r"\frac12", r"\frac12 or 0.6", Different, "forms"),
        (r"\frac12", r"x = 1/2 \text{ or } x = 0.5", Equal, "list"),
        ("0.33", "0.331 or 0.329", Different, "forms"),
        (r"50\%", "50 or 0.5", Different, "forms"),
        ("5,5", "5", Different, "forms"),
    ]);
    let ordered = Options { ordered_lists: true, ..Options::default() };
    assert_eq!(ordered.equal("1,2,3", "3,1,2").verdict, Different);
    assert_eq!(ordered.equal("1,2,3", "1, 2, 3").verdict, Equal);
    assert_eq!(ordered.equal(r"\{1,2\}", r"\{2,1\}").verdict, Equal);
}

#[test]
fn two_signs_may_go_together_or_not() {
    check(&[
        (r"\pm1\pm2", r"\pm3", Unclear, "unread"),
        (r"3, 1, -1, -3", r"\pm1\pm2", Unclear, "unread"),
        (r"\pm1\mp2", r"\pm1", Equal, "list"),
        (r"(\pm1, \pm2)", r"(\pm 1, \pm 2)", Equal, "tuple"),
    ]);
}

#[test]
fn intervals_and_inequalities() {
    check(&[
        ("[0,1)", "[0, 1)", Equal, "identical"),
        ("[0,1)", r"[0, \frac22)", Equal, "interval"),
        ("[0,1)", "(0,1)", Different, "interval"),
        (r"(-\infty, 0]", r"(-\infty,0)", Different, "interval"),
        (r"(1,2)\cup(3,\infty)", r"(3,\infty) \cup (1,2)", Equal, "interval"),
        (r"x \in [-2,7]", "[-2,7]", Equal, "assignment"),
        (r"-2 \le x \le 7", r"x \in [-2,7]", Equal, "inequality"),
        ("x > 5", r"(5,\infty)", Equal, "assignment"),
        ("x > 5", "5 < x", Equal, "inequality"),
        ("x >= 5", r"x \leq 5", Different, "inequality"),
        ("x > 5", "y > 5", Different, "inequality"),
        ("2x > 4", "x > 2", Equal, "inequality"),
        ("2x > 4", "-x > -2", Different, "inequality"),
        (r"x \ne 3", r"(-\infty,3)\cup(3,\infty)", Equal, "assignment"),
        (r"\mathbb{R}\setminus\{2,1\}", r"(-\infty,1)\cup(1,2)\cup(2,\infty)", Equal, "interval"),
        (r"|x| < 2", "(-2,2)", Equal, "assignment"),
        (r"1\le|z|\le2", r"z\in[-2,-1]\cup[1,2]", Equal, "inequality"),
        (r"\mathbb{R}", r"(-\infty,\infty)", Equal, "tuple"),
        ("x < 1 or x > 3", r"(-\infty,1)\cup(3,\infty)", Equal, "interval"),
        // What holds together is no list of solutions.
        ("x > 1 and x < 3", "x > 1 or x < 3", Unclear, "limits"),
        ("1 < x < 3", "x > 1, x < 3", Unclear, "forms"),
        (r"[1,2]\cup[2,3]", "[1,3]", Equal, "interval"),
        (r"[1,2)\cup(2,3]", "[1,3]", Different, "interval"),
        (r"[1,2)\cup\{2\}\cup(2,\sqrt{10}]", r"[1,\sqrt{10}]", Equal, "interval"),
        (r"(-\infty,a)\cup(a,\infty)", r"(a,\infty)\cup(-\infty,a)", Equal, "interval"),
        (r"(-\infty,a)\cup(b,\infty)", r"(-\infty,a)\cup(a,\infty)", Unclear, "interval"),
        (r"[1,2]\cup[3,4]", r"[1,2]\cup[3,4)", Different, "interval"),
        // Infinity is an end and no number.
        (r"\infty", "infinity", Equal, "expression"),
        (r"\infty-\infty", "0", Unclear, "limits"),
        (r"\frac{\infty}{\infty}", "1", Unclear, "limits"),
    ]);
}

#[test]
fn all_real_numbers() {
    check(&[
        (r"(-\infty,\infty)", r"\text{all real numbers}", Equal, "tuple"),
        (r"\mathbb{R}", "all real numbers", Equal, "tuple"),
        ("all reals", r"\text{the set of all real numbers}", Equal, "text"),
        (r"x \in \mathbb{R}", "all reals", Equal, "assignment"),
        ("all real numbers except 2", r"\mathbb{R}", Unclear, "unread"),
        (r"(0,\infty)", "all real numbers", Different, "tuple"),
        ("all real numbers", "none", Different, "text"),
    ]);
}

#[test]
fn equations_and_assignments() {
    check(&[
        ("x=5", "5", Equal, "assignment"),
        ("5", "k = 5", Equal, "assignment"),
        ("x=5", "x = 2+3 = 5", Equal, "assignment"),
        (r"x=\frac13", r"x = 1/3 \approx 0.33", Equal, "assignment"),
        ("x=5", "y=5", Unclear, "assignment"),
        ("x=5", "x=6", Different, "assignment"),
        ("y = 2x + 3", "2x - y + 3 = 0", Equal, "equation"),
        ("5x - 7y + 11z + 4 = 0", "14y - 10x - 22z = 8", Equal, "equation"),
        ("x^2+y^2=4", r"\frac{x^2}{4}+\frac{y^2}{4}=1", Equal, "equation"),
        ("y=2x", "y=3x", Different, "assignment"),
        ("x+y=1", "x+y=2", Different, "equation"),
        ("x^2+y^2=4", "x^2+y^2=9", Unclear, "equation"),
        ("a+3z=0", "0", Unclear, "equation"),
        ("(p,q)=(3,2)", "(3,2)", Equal, "assignment"),
        ("x=1, y=2", "y=2, x=1", Equal, "assignment"),
        ("x=1, y=2", "x=2, y=1", Different, "assignment"),
        ("x=1, y=2", "(1,2)", Equal, "tuple"),
        ("AB=4, CD=5", "4, 5", Equal, "assignment"),
        ("AB=4, CD=5", "5, 4", Different, "assignment"),
        ("x=1, x=2", "2, 1", Equal, "list"),
        ("x_1=1, x_2=2", "2, 1", Equal, "list"),
        ("x=1,2", "x=2 or x=1", Equal, "list"),
        ("p=1,q=2; p=3,q=4", "(3,4),(1,2)", Equal, "list"),
        ("f(x)=2x", "2x", Equal, "assignment"),
        ("7:32", r"\frac{7}{32}", Equal, "ratio"),
        ("2:4", "1:2", Equal, "ratio"),
        ("V_1:V_2=11:21", "11:21", Equal, "assignment"),
        ("12:00", "1:00", Different, "ratio"),
        ("5:30", "10:60", Unclear, "ratio"),
        ("5:30 pm", "5:30 am", Different, "ratio"),
        ("xy=0", "0", Unclear, "equation"),
        ("a_1=1, a_2=2", "2, 1", Different, "assignment"),
        ("a=1,b=2,a=2,b=1", "a=1,b=1,a=2,b=2", Unclear, "assignment"),
        ("x=2, y=3", "(x,y)=(2,3)", Equal, "assignment"),
        ("6:00 pm", r"6:00 \text{ p.m.}", Equal, "ratio"),
    ]);
}

#[test]
fn a_sum_of_names_may_be_what_was_asked_for() {
    check(&[
        ("204", "m+n=204", Equal, "equation"),
        ("204", "m + n = 193 + 11 = 204", Equal, "equation"),
        ("204", "a+b+c = 204", Equal, "equation"),
        ("204", "x_1+x_2=204", Equal, "equation"),
        ("204", "AB + CD = 204", Equal, "equation"),
        ("204", "m+n=205", Different, "equation"),
        // The chain does not hold.
        ("204", "m + n = 193 + 12 = 204", Unclear, "equation"),
        ("204", r"m+n \approx 204", Unclear, "equation"),
        // A gold equation may be that of a line.
        ("m+n=204", "204", Unclear, "equation"),
        ("3-x", "x+y=3", Unclear, "equation"),
    ]);
    for other in [
        "2x=204",
        "204=2x",
        "x+x=204",
        "x-y=204",
        "m+n+1=204",
        "mn=204",
        "AB^2=204",
        r"\frac{a}{b}=204",
        "x^2=41616",
        "2x=408",
        "m+2n=205",
        "x^2+y^2=204",
        "m+e=204",
    ] {
        check(&[("204", other, Unclear, "equation"), (other, "204", Unclear, "equation")]);
    }
    check(&[("4", "x^2=4", Unclear, "equation"), (r"\pm 2", "x^2=4", Unclear, "equation")]);
    check(&[("5", "x+y=2z", Different, "forms"), ("x+y", "x+y=2z", Unclear, "equation")]);
    assert_eq!(Options { complete: true, ..Options::default() }.equal("204", "m+n=204").verdict, Unclear);
}

#[test]
fn an_identity_is_the_expression_of_its_sides() {
    check(&[
        ("x^2-4", "(x-2)(x+2)=x^2-4", Equal, "equation"),
        ("(x-2)(x+2)=x^2-4", "x^2-4", Equal, "equation"),
        ("x^2-4", "(x-2)(x+2)=x^2-5", Unclear, "equation"),
        ("x^2-5", "(x-2)(x+2)=x^2-4", Different, "forms"),
    ]);
}

#[test]
fn named_values_and_a_point() {
    check(&[
        ("x=1,y=2", "(1,2)", Equal, "tuple"),
        ("y=2,x=1", "(1,2)", Equal, "tuple"),
        ("(1,2)", "y=2,x=1", Equal, "tuple"),
        ("x=1,y=2,z=3", "(1,2,3)", Equal, "tuple"),
        ("x=1,y=2", "(2,1)", Different, "tuple"),
        ("a=1,b=2", "(1,2)", Unclear, "tuple"),
        ("a=1,b=2", "(2,1)", Unclear, "tuple"),
        ("a=1,b=2", "(1,3)", Different, "tuple"),
        ("x=1,z=2", "(1,2)", Unclear, "tuple"),
        ("(1,2)", "a=1,b=2", Equal, "tuple"),
        ("(1,2)", "b=2,a=1", Unclear, "tuple"),
    ]);
}

#[test]
fn words_for_the_empty_set() {
    check(&[
        (r"\emptyset", "No solution", Equal, "set"),
        (r"\text{No solution}", r"\emptyset", Equal, "set"),
        ("no solutions", r"\text{No solution}", Equal, "text"),
        (r"\varnothing", r"\text{The empty set}", Equal, "set"),
        (r"\emptyset", "no real solutions", Unclear, "set"),
        ("none", r"\emptyset", Unclear, "set"),
        (r"\{1\}", "no solution", Different, "set"),
        (r"\emptyset", "0", Different, "forms"),
        ("no solution", "x=5", Different, "assignment"),
        (r"\emptyset", "all real numbers", Different, "forms"),
    ]);
}

#[test]
fn matrices() {
    let identity = r"\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}";
    check(&[
        (identity, r"\begin{bmatrix}1&0\\0&1\\\end{bmatrix}", Equal, "matrix"),
        (identity, r"\begin{pmatrix} 0 & 1 \\ 1 & 0 \end{pmatrix}", Different, "matrix"),
        (identity, r"\frac12\begin{pmatrix} 2 & 0 \\ 0 & 2 \end{pmatrix}", Equal, "matrix"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)", Equal, "matrix"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}", Unclear, "matrix"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\2\\3\end{pmatrix}", Different, "matrix"),
        (
            r"\begin{pmatrix} 0 & 2 \\ 3 & 0 \end{pmatrix}",
            r"\begin{pmatrix} 0 & 1 \\ 1 & 0 \end{pmatrix}\begin{pmatrix} 3 & 0 \\ 0 & 2 \end{pmatrix}",
            Equal,
            "matrix",
        ),
        (identity, r"\begin{pmatrix}1&1\\0&0\end{pmatrix}-\begin{pmatrix}0&1\\0&-1\end{pmatrix}", Equal, "matrix"),
        (r"\begin{array}{c} 42 \end{array}", "42", Unclear, "matrix"),
        ("42", r"\begin{array}{c} 42 \end{array}", Unclear, "matrix"),
        ("43", r"\begin{array}{c} 42 \end{array}", Different, "forms"),
        (r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", Unclear, "unread"),
    ]);
}
