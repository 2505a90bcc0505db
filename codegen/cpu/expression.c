#include "codegen/cpu/expression.h"

#include <math.h>

#include "base/fatal.h"

bool expression_uses_index(const Expression *expression) {
    for (int i = 0; i < expression->instruction_count; i++)
        if (expression->instructions[i].op == SCALAR_INDEX_LOW ||
            expression->instructions[i].op == SCALAR_INDEX_HIGH)
            return true;
    return false;
}

/* What functions are written with: constants and operations of one width. */
typedef struct Math {
    Emitter *e;
    int width;
    LLVMTypeRef real, whole;
} Math;

static LLVMValueRef spread(const Math *m, LLVMValueRef scalar) {
    return m->width == 1 ? scalar : emit_splat(m->e, scalar);
}

static LLVMValueRef real(const Math *m, double value) {
    return spread(m, emit_float(m->e, (float)value));
}

static LLVMValueRef whole(const Math *m, uint32_t value) {
    return spread(m, emit_int32(m->e, (int32_t)value));
}

static LLVMValueRef add(const Math *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFAdd(m->e->builder, a, b, "");
}

static LLVMValueRef sub(const Math *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFSub(m->e->builder, a, b, "");
}

static LLVMValueRef mul(const Math *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFMul(m->e->builder, a, b, "");
}

static LLVMValueRef quotient(const Math *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFDiv(m->e->builder, a, b, "");
}

static LLVMValueRef choose(const Math *m, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(m->e->builder, c, a, b, "");
}

static LLVMValueRef less(const Math *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFCmp(m->e->builder, LLVMRealOLT, a, b, "");
}

static LLVMValueRef unary(const Math *m, const char *name, LLVMValueRef x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    return emit_intrinsic(m->e, name, &type, 1, &x, 1);
}

static LLVMValueRef copy_sign(const Math *m, LLVMValueRef size, LLVMValueRef sign) {
    LLVMTypeRef type = LLVMTypeOf(size);
    return emit_intrinsic(m->e, "llvm.copysign", &type, 1, (LLVMValueRef[]){size, sign}, 2);
}

static LLVMValueRef to_bits(const Math *m, LLVMValueRef x) {
    return LLVMBuildBitCast(m->e->builder, x, m->whole, "");
}

static LLVMValueRef from_bits(const Math *m, LLVMValueRef x) {
    return LLVMBuildBitCast(m->e->builder, x, m->real, "");
}

/* c[0] + x (c[1] + x (c[2] + ...)) */
static LLVMValueRef polynomial(const Math *m, LLVMValueRef x, const double *c, int count) {
    LLVMValueRef y = real(m, c[count - 1]);
    for (int i = count - 2; i >= 0; i--)
        y = emit_fma(m->e, y, x, real(m, c[i]));
    return y;
}

/* 2^n for whole n in [-126, 127] as an fp32 in `n`. */
static LLVMValueRef power_of_two(const Math *m, LLVMValueRef n) {
    LLVMBuilderRef b = m->e->builder;
    LLVMValueRef exponent = LLVMBuildFPToSI(b, n, m->whole, "");
    exponent = LLVMBuildAdd(b, exponent, whole(m, 127), "");
    return from_bits(m, LLVMBuildShl(b, exponent, whole(m, 23), ""));
}

/* The nearest whole number of an |x| below 2^22. Where no instruction rounds, LLVM would call a
 * function that an object does not bring: there adding 1.5 2^23 leaves no room for a fraction. */
static LLVMValueRef round_whole(const Math *m, LLVMValueRef x) {
    LLVMValueRef large = real(m, 0x1.8p23);
    return m->e->target->rounds ? unary(m, "llvm.rint", x) : sub(m, add(m, x, large), large);
}

/* x + low = n ln 2 + r with whole n, |r| <= ln 2 / 2. The first part of ln 2 has 10 bits, so n
 * times it is exact; *lost is what rounding took from r. */
static LLVMValueRef reduce_exponent(const Math *m, LLVMValueRef x, LLVMValueRef low,
                                    LLVMValueRef *n, LLVMValueRef *lost) {
    *n = round_whole(m, mul(m, x, real(m, 1.4426950408889634)));
    LLVMValueRef most = sub(m, x, mul(m, *n, real(m, 0.693359375)));
    LLVMValueRef rest = emit_fma(m->e, *n, real(m, 2.12194440054690583e-4), low);
    LLVMValueRef r = add(m, most, rest);
    *lost = sub(m, rest, sub(m, r, most));
    return r;
}

/* exp(r) - 1 - r for |r| <= ln 2 / 2, divided by r^2 (minimax, after Cephes' expf). */
static LLVMValueRef exp_tail(const Math *m, LLVMValueRef r) {
    static const double c[] = {5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2,
                               8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4};
    return polynomial(m, r, c, 6);
}

/* Whole n by 2, rounded down: n / 2 - 1 / 4 is nearest to that. */
static LLVMValueRef halve(const Math *m, LLVMValueRef n) {
    LLVMValueRef half = mul(m, n, real(m, 0.5));
    return m->e->target->rounds ? unary(m, "llvm.floor", half)
                                : round_whole(m, sub(m, half, real(m, 0.25)));
}

/* y 2^n for |n| <= 252 in two exact factors, so that denormal results are rounded once. */
static LLVMValueRef scale(const Math *m, LLVMValueRef y, LLVMValueRef n) {
    LLVMValueRef half = halve(m, n);
    y = mul(m, y, power_of_two(m, half));
    return mul(m, y, power_of_two(m, sub(m, n, half)));
}

static LLVMValueRef clamp(const Math *m, LLVMValueRef x, double low, double high) {
    x = choose(m, less(m, x, real(m, low)), real(m, low), x);
    return choose(m, less(m, real(m, high), x), real(m, high), x);
}

static LLVMValueRef is_nan(const Math *m, LLVMValueRef x) {
    return LLVMBuildFCmp(m->e->builder, LLVMRealUNO, x, x, "");
}

/* exp(x + low) = 2^n (1 + p + rest) with |p| < 0.42 and a rest of the size of p's roundings. */
typedef struct Exponential {
    LLVMValueRef n, p, rest;
} Exponential;

/* For x in [-115, 89] and a low that is far smaller. */
static Exponential exp_parts(const Math *m, LLVMValueRef x, LLVMValueRef low) {
    Exponential e;
    LLVMValueRef lost, r = reduce_exponent(m, x, low, &e.n, &lost);
    LLVMValueRef tail = emit_fma(m->e, mul(m, r, r), exp_tail(m, r), lost);
    e.p = add(m, r, tail);
    e.rest = sub(m, tail, sub(m, e.p, r));
    return e;
}

/* x in [low, high], 0 for NaN. */
static LLVMValueRef bounded_or_zero(const Math *m, LLVMValueRef x, double low, double high) {
    return choose(m, is_nan(m, x), real(m, 0), clamp(m, x, low, high));
}

static LLVMValueRef emit_exp(const Math *m, LLVMValueRef x) {
    Exponential e = exp_parts(m, bounded_or_zero(m, x, -105, 89), real(m, 0));
    LLVMValueRef y = scale(m, add(m, e.p, real(m, 1)), e.n);
    return choose(m, is_nan(m, x), x, y);
}

/* 2^n (exp(r) - 1) + (2^n - 1) */
static LLVMValueRef emit_expm1(const Math *m, LLVMValueRef x) {
    Exponential e = exp_parts(m, bounded_or_zero(m, x, -60, 89), real(m, 0));
    LLVMValueRef less_one = sub(m, e.n, real(m, 1)); /* 2^n could overflow where 2^(n-1) does not */
    LLVMValueRef half = power_of_two(m, less_one);
    LLVMValueRef y = emit_fma(m->e, half, e.p, sub(m, half, real(m, 0.5)));
    y = mul(m, y, real(m, 2));
    LLVMValueRef tiny = less(m, unary(m, "llvm.fabs", x), real(m, 1e-4));
    y = choose(m, tiny, emit_fma(m->e, mul(m, x, x), real(m, 0.5), x), y);
    return choose(m, is_nan(m, x), x, copy_sign(m, y, x));
}

/* x = 2^e f with f in [sqrt(1/2), sqrt(2)); log x = e ln 2 + log f (after Cephes' logf). */
static LLVMValueRef emit_log(const Math *m, LLVMValueRef x) {
    static const double c[] = {3.3333331174e-1,  -2.4999993993e-1, 2.0000714765e-1,
                               -1.6668057665e-1, 1.4249322787e-1,  -1.2420140846e-1,
                               1.1676998740e-1,  -1.1514610310e-1, 7.0376836292e-2};
    LLVMBuilderRef b = m->e->builder;
    LLVMValueRef small = less(m, x, real(m, 1.17549435e-38));
    LLVMValueRef scaled = choose(m, small, mul(m, x, real(m, 33554432)), x);
    LLVMValueRef bits = to_bits(m, scaled);
    /* The exponent relative to sqrt(1/2), whose bits are 0x3f3504f3. */
    LLVMValueRef shifted = LLVMBuildSub(b, bits, whole(m, 0x3f3504f3u), "");
    LLVMValueRef exponent = LLVMBuildAShr(b, shifted, whole(m, 23), "");
    LLVMValueRef fraction = LLVMBuildSub(b, bits, LLVMBuildShl(b, exponent, whole(m, 23), ""), "");
    LLVMValueRef f = sub(m, from_bits(m, fraction), real(m, 1));
    LLVMValueRef e = LLVMBuildSIToFP(b, exponent, m->real, "");
    e = sub(m, e, choose(m, small, real(m, 25), real(m, 0)));
    LLVMValueRef square = mul(m, f, f);
    LLVMValueRef y = mul(m, mul(m, polynomial(m, f, c, 9), f), square);
    y = emit_fma(m->e, e, real(m, -2.12194440054690583e-4), y);
    y = emit_fma(m->e, square, real(m, -0.5), y);
    y = add(m, f, y);
    y = emit_fma(m->e, e, real(m, 0.693359375), y);
    LLVMValueRef infinity = real(m, (double)INFINITY), zero = real(m, 0);
    y = choose(m, LLVMBuildFCmp(b, LLVMRealOEQ, x, infinity, ""), infinity, y);
    y = choose(m, LLVMBuildFCmp(b, LLVMRealOEQ, x, zero, ""), real(m, -(double)INFINITY), y);
    LLVMValueRef invalid = LLVMBuildFCmp(b, LLVMRealULT, x, zero, "");
    return choose(m, invalid, real(m, (double)NAN), y);
}

/* log(1 + t + low) for t in [0, 1] and a low that is far smaller: log(u) + (t - (u - 1) + low) / u
 * with u = 1 + t rounded. */
static LLVMValueRef log_one_plus(const Math *m, LLVMValueRef t, LLVMValueRef low) {
    LLVMValueRef u = add(m, real(m, 1), t);
    LLVMValueRef lost = add(m, sub(m, t, sub(m, u, real(m, 1))), low);
    return add(m, emit_log(m, u), quotient(m, lost, u));
}

static LLVMValueRef negate(const Math *m, LLVMValueRef x) {
    return LLVMBuildFNeg(m->e->builder, x, "");
}

/* exp(-|x|) = t (1 + *share), t rounded; NaN stays NaN. 1 / (1 + p) in the share is 1 - p up to a
 * fifth. */
static LLVMValueRef exp_of_minus_abs(const Math *m, LLVMValueRef x, LLVMValueRef *share) {
    LLVMValueRef one = real(m, 1), below = negate(m, unary(m, "llvm.fabs", x));
    Exponential e = exp_parts(m, bounded_or_zero(m, below, -105, 0), real(m, 0));
    LLVMValueRef t = add(m, one, e.p);
    LLVMValueRef low = add(m, sub(m, e.p, sub(m, t, one)), e.rest);
    *share = mul(m, low, sub(m, one, e.p));
    return choose(m, is_nan(m, x), x, scale(m, t, e.n));
}

/* With t = exp(-|x|): 1 / (1 + t), and t / (1 + t) for negative x. What rounding took from t and
 * from d = 1 + t is put right; 1 / d is the quotient, or 1 minus it for negative x. */
static LLVMValueRef emit_sigmoid(const Math *m, LLVMValueRef x) {
    LLVMValueRef share, t = exp_of_minus_abs(m, x, &share), one = real(m, 1), d = add(m, one, t);
    LLVMValueRef negative = less(m, x, real(m, 0));
    LLVMValueRef q = quotient(m, choose(m, negative, t, one), d);
    LLVMValueRef lost = sub(m, t, sub(m, d, one));
    LLVMValueRef inverse = choose(m, negative, sub(m, one, q), q);
    LLVMValueRef change = choose(m, negative, share, negate(m, mul(m, t, share)));
    return add(m, q, mul(m, q, mul(m, inverse, sub(m, change, lost))));
}

/* max(x, 0) + log(1 + exp(-|x|)) */
static LLVMValueRef emit_softplus(const Math *m, LLVMValueRef x) {
    LLVMValueRef share, t = exp_of_minus_abs(m, x, &share), zero = real(m, 0);
    LLVMValueRef positive = choose(m, less(m, x, zero), zero, x);
    return add(m, positive, log_one_plus(m, t, mul(m, t, share)));
}

/* Odd polynomial up to 0.625 (Cephes' tanhf), 1 - 2 / (exp(2 |x|) + 1) beyond. */
static LLVMValueRef emit_tanh(const Math *m, LLVMValueRef x) {
    static const double c[] = {-3.33332819422e-1, 1.33314422036e-1, -5.37397155531e-2,
                               2.06390887954e-2, -5.70498872745e-3};
    LLVMValueRef size = unary(m, "llvm.fabs", x), square = mul(m, x, x);
    LLVMValueRef near = emit_fma(m->e, mul(m, polynomial(m, square, c, 5), square), x, x);
    LLVMValueRef e = emit_exp(m, add(m, size, size));
    LLVMValueRef far = sub(m, real(m, 1), quotient(m, real(m, 2), add(m, e, real(m, 1))));
    LLVMValueRef is_near = less(m, size, real(m, 0.625));
    LLVMValueRef y = copy_sign(m, choose(m, is_near, near, far), x);
    return choose(m, is_nan(m, x), x, y);
}

/* The upper 12 bits of a number's 24, and the rest. */
static LLVMValueRef upper_half(const Math *m, LLVMValueRef x, LLVMValueRef *low) {
    LLVMValueRef bits = LLVMBuildAnd(m->e->builder, to_bits(m, x), whole(m, 0xfffff000u), "");
    *low = sub(m, x, from_bits(m, bits));
    return from_bits(m, bits);
}

/* The rounded product and what rounding took from it: a b = *high + result. Products of halves
 * (Dekker, 1971) where there is no fused multiply-add. */
static LLVMValueRef exact_product(const Math *m, LLVMValueRef a, LLVMValueRef b,
                                  LLVMValueRef *high) {
    *high = mul(m, a, b);
    if (m->e->target->fused)
        return emit_fma(m->e, a, b, negate(m, *high));
    LLVMValueRef a_low, b_low;
    LLVMValueRef a_top = upper_half(m, a, &a_low), b_top = upper_half(m, b, &b_low);
    LLVMValueRef lost = sub(m, mul(m, a_top, b_top), *high);
    lost = add(m, lost, mul(m, a_top, b_low));
    lost = add(m, lost, mul(m, a_low, b_top));
    return add(m, lost, mul(m, a_low, b_low));
}

/* exp(-x x / 2) for x in [0, 15]. */
static Exponential gaussian_parts(const Math *m, LLVMValueRef x) {
    LLVMValueRef high, low = exact_product(m, x, x, &high), half = real(m, -0.5);
    return exp_parts(m, mul(m, high, half), mul(m, low, half));
}

/* The high part of `value` in fp32, and the rest of it. */
static LLVMValueRef split_constant(const Math *m, double value, LLVMValueRef *low) {
    *low = real(m, value - (double)(float)value);
    return real(m, value);
}

/* The probability of more than a, for a in [0.66, 15], finite from 0 on: exp(-a a / 2) T / d with d
 * = a + 1.5 and T = d erfcx(a / sqrt(2)) / 2, which changes little: a polynomial of 1 / d - 1/4
 * (minimax of the relative error, 1.4e-8). What rounding takes from sums is carried along. */
static LLVMValueRef normal_tail(const Math *m, LLVMValueRef a) {
    static const double c[] = {0.65799188515, -0.33336249367, -0.99505586925,
                               1.5114676981,  0.95261323828,  -6.1513710089,
                               6.5431193226,  12.839340724,   -34.710166552};
    Exponential e = gaussian_parts(m, a);
    LLVMValueRef one = real(m, 1), shift = real(m, 1.5);
    LLVMValueRef d = add(m, a, shift), lost = sub(m, a, sub(m, d, shift));
    LLVMValueRef s = quotient(m, one, d), share = mul(m, lost, s);
    LLVMValueRef h = sub(m, sub(m, s, real(m, 0.25)), mul(m, s, share));
    LLVMValueRef rest, first = split_constant(m, 0.56532533132, &rest);
    rest = emit_fma(m->e, h, polynomial(m, h, c, (int)(sizeof c / sizeof *c)), rest);
    LLVMValueRef t = add(m, first, rest), low = sub(m, rest, sub(m, t, first));
    LLVMValueRef factor = sub(m, e.p, emit_fma(m->e, share, e.p, share));
    low = emit_fma(m->e, t, e.rest, low);
    low = emit_fma(m->e, t, factor, low); /* t (1 + p + rest) (1 - share) - t */
    LLVMValueRef top = add(m, t, low);
    low = sub(m, low, sub(m, top, t));
    LLVMValueRef product, q = mul(m, top, s), more = exact_product(m, q, d, &product);
    low = add(m, sub(m, sub(m, top, product), more), low); /* of top - q d */
    return scale(m, emit_fma(m->e, low, s, q), e.n);
}

/* 1/2 + x times a polynomial of its square up to 0.67 (minimax of the relative error, 3e-11). */
static LLVMValueRef emit_normal_cdf(const Math *m, LLVMValueRef x) {
    static const double c[] = {0.3989422804,   -0.0664903785,   0.009973526239,
                               -0.00118710662, 0.0001147089484, -8.335206784e-06};
    LLVMValueRef size = unary(m, "llvm.fabs", x);
    LLVMValueRef half = real(m, 0.5), square = mul(m, x, x);
    LLVMValueRef near =
        emit_fma(m->e, x, polynomial(m, square, c, (int)(sizeof c / sizeof *c)), half);
    LLVMValueRef tail = normal_tail(m, clamp(m, size, 0, 15)); /* as the density's */
    LLVMValueRef far = choose(m, less(m, x, real(m, 0)), tail, sub(m, real(m, 1), tail));
    LLVMValueRef y = choose(m, less(m, size, real(m, 0.67)), near, far);
    return choose(m, is_nan(m, x), x, y);
}

static LLVMValueRef emit_normal_pdf(const Math *m, LLVMValueRef x) {
    LLVMValueRef low, most = split_constant(m, 0.39894228040143268, &low);
    Exponential e = gaussian_parts(m, clamp(m, unary(m, "llvm.fabs", x), 0, 15));
    LLVMValueRef y = scale(m, add(m, most, emit_fma(m->e, most, e.p, low)), e.n);
    return choose(m, is_nan(m, x), x, y);
}

/* x + x times a polynomial of its square up to 1 (minimax of the relative error, 1e-9); beyond, 1 -
 * erfc. */
static LLVMValueRef emit_erf(const Math *m, LLVMValueRef x) {
    static const double c[] = {0.1283791657,   -0.3761262582,    0.1128358515,   -0.02685381193,
                               0.005188327681, -0.0008010193587, 7.853861226e-05};
    LLVMValueRef square = mul(m, x, x);
    LLVMValueRef near = emit_fma(m->e, x, polynomial(m, square, c, (int)(sizeof c / sizeof *c)), x);
    LLVMValueRef size = unary(m, "llvm.fabs", x);
    LLVMValueRef a = clamp(m, mul(m, size, real(m, 1.4142135623730951)), 0.66, 14.5);
    LLVMValueRef far = emit_fma(m->e, normal_tail(m, a), real(m, -2), real(m, 1));
    LLVMValueRef y = copy_sign(m, choose(m, less(m, size, real(m, 1)), near, far), x);
    return choose(m, is_nan(m, x), x, y);
}

/* |x| < infinity, by its bits. */
static LLVMValueRef emit_is_finite(const Math *m, LLVMValueRef x) {
    LLVMValueRef bits = LLVMBuildAnd(m->e->builder, to_bits(m, x), whole(m, 0x7f800000u), "");
    return LLVMBuildICmp(m->e->builder, LLVMIntNE, bits, whole(m, 0x7f800000u), "");
}

/* The high half of a 64-bit product. */
static LLVMValueRef multiply_high(const Math *m, LLVMValueRef a, LLVMValueRef b) {
    LLVMBuilderRef builder = m->e->builder;
    LLVMTypeRef wide = m->width == 1 ? m->e->i64 : LLVMVectorType(m->e->i64, (unsigned)m->width);
    LLVMValueRef product = LLVMBuildMul(builder, LLVMBuildZExt(builder, a, wide, ""),
                                        LLVMBuildZExt(builder, b, wide, ""), "");
    LLVMValueRef high = LLVMBuildLShr(builder, product, spread(m, emit_int(m->e, 32)), "");
    return LLVMBuildTrunc(builder, high, m->whole, "");
}

/* Toward zero; what is out of range becomes the nearest whole number, NaN 0. */
static LLVMValueRef to_whole(const Math *m, LLVMValueRef x) {
    LLVMTypeRef types[] = {m->whole, m->real};
    return emit_intrinsic(m->e, "llvm.fptoui.sat", types, 2, &x, 1);
}

static LLVMValueRef apply(const Math *m, ScalarOp op, LLVMValueRef a, LLVMValueRef b,
                          LLVMValueRef c) {
    LLVMBuilderRef builder = m->e->builder;
    switch (op) {
    case SCALAR_add:
        return add(m, a, b);
    case SCALAR_sub:
        return sub(m, a, b);
    case SCALAR_mul:
        return mul(m, a, b);
    case SCALAR_div:
        return quotient(m, a, b);
    case SCALAR_neg:
        return negate(m, a);
    case SCALAR_min:
        return choose(m, less(m, a, b), a, b);
    case SCALAR_less:
        return less(m, a, b);
    case SCALAR_equal:
        return LLVMBuildFCmp(builder, LLVMRealOEQ, a, b, "");
    case SCALAR_is_finite:
        return emit_is_finite(m, a);
    case SCALAR_select:
    case SCALAR_select_u:
        return choose(m, a, b, c);
    case SCALAR_sqrt:
        return unary(m, "llvm.sqrt", a);
    case SCALAR_rsqrt:
        return quotient(m, real(m, 1), unary(m, "llvm.sqrt", a));
    case SCALAR_exp:
        return emit_exp(m, a);
    case SCALAR_expm1:
        return emit_expm1(m, a);
    case SCALAR_log:
        return emit_log(m, a);
    case SCALAR_erf:
        return emit_erf(m, a);
    case SCALAR_tanh:
        return emit_tanh(m, a);
    case SCALAR_sigmoid:
        return emit_sigmoid(m, a);
    case SCALAR_softplus:
        return emit_softplus(m, a);
    case SCALAR_normal_cdf:
        return emit_normal_cdf(m, a);
    case SCALAR_normal_pdf:
        return emit_normal_pdf(m, a);
    case SCALAR_add_u:
        return LLVMBuildAdd(builder, a, b, "");
    case SCALAR_mul_u:
        return LLVMBuildMul(builder, a, b, "");
    case SCALAR_mulhi_u:
        return multiply_high(m, a, b);
    case SCALAR_xor_u:
        return LLVMBuildXor(builder, a, b, "");
    case SCALAR_shift_right_u:
        return LLVMBuildLShr(builder, a, LLVMBuildAnd(builder, b, whole(m, 31), ""), "");
    case SCALAR_less_u:
        return LLVMBuildICmp(builder, LLVMIntULT, a, b, "");
    case SCALAR_to_float:
        return LLVMBuildUIToFP(builder, a, m->real, "");
    case SCALAR_to_u:
        return to_whole(m, a);
    default:
        invariant(false, "scalar operation %s is a leaf", scalar_name(op));
    }
}

static LLVMValueRef slot_constant(const Math *m, int slot) {
    LLVMBuilderRef builder = m->e->builder;
    LLVMValueRef bits = LLVMBuildTrunc(builder, emit_slot(m->e, slot), m->e->i32, "");
    return spread(m, LLVMBuildBitCast(builder, bits, m->e->f32, ""));
}

/* A leaf: what the code at hand says it is, or a constant; `constants` counts those in slots. */
static LLVMValueRef leaf(const Math *m, const Instruction *instruction,
                         const ExpressionInputs *inputs, int *constants) {
    switch (instruction->op) {
    case SCALAR_OPERAND:
    case SCALAR_OPERAND_U:
        return inputs->operands[instruction->operand];
    case SCALAR_VISIBLE:
        return inputs->visible[instruction->operand];
    case SCALAR_CONSTANT:
        if (inputs->constants_in_slots)
            return slot_constant(m, inputs->constants + (*constants)++);
        return real(m, (double)instruction->constant);
    case SCALAR_CONSTANT_U:
        return whole(m, instruction->constant_u);
    case SCALAR_INDEX_LOW:
        return inputs->index_low;
    case SCALAR_INDEX_HIGH:
        return inputs->index_high;
    default:
        return NULL;
    }
}

void emit_expression(Emitter *e, const Expression *expression, int width,
                     const ExpressionInputs *inputs, LLVMValueRef *values) {
    Math m = {e, width, width == 1 ? e->f32 : e->vector_f32, width == 1 ? e->i32 : e->vector_i32};
    LLVMValueRef *results =
        arena_new_array(e->arena, LLVMValueRef, (size_t)expression->instruction_count + 1);
    int constants = 0;
    for (int i = 0; i < expression->instruction_count; i++) {
        const Instruction *instruction = &expression->instructions[i];
        LLVMValueRef arguments[3] = {NULL, NULL, NULL};
        results[i] = leaf(&m, instruction, inputs, &constants);
        if (results[i])
            continue;
        for (int k = 0; scalar_operands(instruction->op)[k]; k++)
            arguments[k] = results[instruction->arguments[k]];
        results[i] = apply(&m, instruction->op, arguments[0], arguments[1], arguments[2]);
    }
    for (int i = 0; i < expression->value_count; i++)
        values[i] = results[expression->values[i]];
}
