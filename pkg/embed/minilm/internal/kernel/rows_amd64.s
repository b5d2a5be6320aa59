#include "textflag.h"

// Constants are the bits of float32 numbers, eight copies each being made by
// VBROADCASTSS where they are used.
#define CONSTANT(name, bits) \
	DATA name<>+0(SB)/4, bits \
	GLOBL name<>(SB), RODATA|NOPTR, $4

CONSTANT(leastExp, $0xc2ac0000)  // -86
CONSTANT(log2e, $0x3fb8aa3b)
CONSTANT(ln2High, $0x3f318000)   // 0.693359375
CONSTANT(ln2Low, $0xb95e8083)    // ln 2 - ln2High
CONSTANT(one, $0x3f800000)
CONSTANT(half, $0x3f000000)
CONSTANT(sixth, $0x3e2aaaab)
CONSTANT(by24, $0x3d2aaaab)
CONSTANT(by120, $0x3c088889)
CONSTANT(by720, $0x3ab60b61)
CONSTANT(sign, $0x80000000)
CONSTANT(rootHalf, $0x3f3504f3)  // 1/√2
CONSTANT(erfP, $0x3ea7ba05)
CONSTANT(erfA1, $0x3e827906)
CONSTANT(erfA2, $0xbe91a98e)
CONSTANT(erfA3, $0x3fb5f0e3)
CONSTANT(erfA4, $0xbfba00e3)
CONSTANT(erfA5, $0x3f87dc22)
CONSTANT(epsilon, $0x2b8cbccc)   // 1e-12

// EXPCONSTANTS loads what EXP needs into Y6 to Y15.
#define EXPCONSTANTS \
	VBROADCASTSS leastExp<>(SB), Y6 \
	VBROADCASTSS log2e<>(SB), Y7    \
	VBROADCASTSS ln2High<>(SB), Y8  \
	VBROADCASTSS ln2Low<>(SB), Y9   \
	VBROADCASTSS one<>(SB), Y10     \
	VBROADCASTSS half<>(SB), Y11    \
	VBROADCASTSS by720<>(SB), Y12   \
	VBROADCASTSS by120<>(SB), Y13   \
	VBROADCASTSS by24<>(SB), Y14    \
	VBROADCASTSS sixth<>(SB), Y15

// EXP replaces x by eˣ for x ≤ 0 as the portable exp does; k and e are overwritten.
#define EXP(x, k, e) \
	VMAXPS       Y6, x, x          \
	VMULPS       Y7, x, k          \
	VROUNDPS     $0, k, k          \
	VFNMADD231PS Y8, k, x          \
	VFNMADD231PS Y9, k, x          \
	VCVTPS2DQ    k, k              \
	VPSLLD       $23, k, k         \
	VMOVAPS      Y12, e            \
	VFMADD213PS  Y13, x, e         \
	VFMADD213PS  Y14, x, e         \
	VFMADD213PS  Y15, x, e         \
	VFMADD213PS  Y11, x, e         \
	VFMADD213PS  Y10, x, e         \
	VFMADD213PS  Y10, x, e         \
	VPADDD       k, e, x

// SUM leaves the sum of the eight elements of Y0 in the lowest of X0.
#define SUM \
	VEXTRACTF128 $1, Y0, X1      \
	VADDPS       X1, X0, X0      \
	VPERMILPS    $0x4e, X0, X1   \
	VADDPS       X1, X0, X0      \
	VPERMILPS    $0xb1, X0, X1   \
	VADDPS       X1, X0, X0

// func softmaxRow(x []float32)
TEXT ·softmaxRow(SB), NOSPLIT, $0-24
	MOVQ x_base+0(FP), DI
	MOVQ x_len+8(FP), CX
	SHRQ $3, CX
	JZ   end

	MOVQ    DI, SI
	MOVQ    CX, DX
	VMOVUPS (SI), Y0

greatest:
	VMAXPS (SI), Y0, Y0
	ADDQ   $32, SI
	DECQ   DX
	JNZ    greatest

	VEXTRACTF128 $1, Y0, X1
	VMAXPS       X1, X0, X0
	VPERMILPS    $0x4e, X0, X1
	VMAXPS       X1, X0, X0
	VPERMILPS    $0xb1, X0, X1
	VMAXPS       X1, X0, X0
	VBROADCASTSS X0, Y5

	EXPCONSTANTS
	VXORPS       Y0, Y0, Y0
	MOVQ         DI, SI
	MOVQ         CX, DX

exponentials:
	VMOVUPS (SI), Y2
	VSUBPS  Y5, Y2, Y2
	EXP(Y2, Y3, Y4)
	VMOVUPS Y2, (SI)
	VADDPS  Y2, Y0, Y0
	ADDQ    $32, SI
	DECQ    DX
	JNZ     exponentials

	SUM
	VMOVSS       one<>(SB), X1
	VDIVSS       X0, X1, X1
	VBROADCASTSS X1, Y1

divide:
	VMULPS  (DI), Y1, Y2
	VMOVUPS Y2, (DI)
	ADDQ    $32, DI
	DECQ    CX
	JNZ     divide

end:
	VZEROUPPER
	RET

// func gelu(x []float32, factor *float32)
TEXT ·gelu(SB), NOSPLIT, $0-32
	MOVQ x_base+0(FP), DI
	MOVQ factor+24(FP), SI
	MOVQ x_len+8(FP), CX
	SHRQ $3, CX
	JZ   end

	EXPCONSTANTS

loop:
	VBROADCASTSS sign<>(SB), Y4
	VMOVUPS      (DI), Y0
	VANDNPS      Y0, Y4, Y1         // |x|
	VBROADCASTSS rootHalf<>(SB), Y5
	VMULPS       Y5, Y1, Y2         // z
	VMULPS       Y2, Y2, Y3
	VXORPS       Y4, Y3, Y3         // -z²
	VBROADCASTSS erfP<>(SB), Y5
	VFMADD213PS  Y10, Y5, Y2        // 1 + p·z
	VDIVPS       Y2, Y10, Y2        // t
	EXP(Y3, Y4, Y5)
	VMULPS       Y2, Y3, Y3         // t·exp(-z²)
	VBROADCASTSS erfA5<>(SB), Y4
	VBROADCASTSS erfA4<>(SB), Y5
	VFMADD213PS  Y5, Y2, Y4
	VBROADCASTSS erfA3<>(SB), Y5
	VFMADD213PS  Y5, Y2, Y4
	VBROADCASTSS erfA2<>(SB), Y5
	VFMADD213PS  Y5, Y2, Y4
	VBROADCASTSS erfA1<>(SB), Y5
	VFMADD213PS  Y5, Y2, Y4
	VMULPS       Y4, Y3, Y3         // erfc(z)
	VMULPS       Y11, Y1, Y1        // ½|x|
	VXORPS       Y4, Y4, Y4
	VMAXPS       Y4, Y0, Y0
	VFNMADD231PS Y3, Y1, Y0
	VMULPS       (SI), Y0, Y0
	VMOVUPS      Y0, (DI)
	ADDQ         $32, SI
	ADDQ         $32, DI
	DECQ         CX
	JNZ          loop

end:
	VZEROUPPER
	RET

// func addNorm(x []float32, residual, gamma, beta *float32)
TEXT ·addNorm(SB), NOSPLIT, $0-48
	MOVQ x_base+0(FP), DI
	MOVQ x_len+8(FP), CX
	MOVQ residual+24(FP), SI
	MOVQ gamma+32(FP), R8
	MOVQ beta+40(FP), R9
	VCVTSI2SSQ CX, X7, X7
	VMOVSS     one<>(SB), X6
	VDIVSS     X7, X6, X7           // 1/n
	SHLQ       $2, CX
	JZ         end

	VXORPS Y0, Y0, Y0
	XORQ   AX, AX

add:
	VMOVUPS (DI)(AX*1), Y2
	VADDPS  (SI)(AX*1), Y2, Y2
	VMOVUPS Y2, (DI)(AX*1)
	VADDPS  Y2, Y0, Y0
	ADDQ    $32, AX
	CMPQ    AX, CX
	JLT     add

	SUM
	VMULSS       X7, X0, X0
	VBROADCASTSS X0, Y5
	VXORPS       Y0, Y0, Y0
	XORQ         AX, AX

squares:
	VMOVUPS     (DI)(AX*1), Y2
	VSUBPS      Y5, Y2, Y2
	VFMADD231PS Y2, Y2, Y0
	ADDQ        $32, AX
	CMPQ        AX, CX
	JLT         squares

	SUM
	VMULSS       X7, X0, X0
	VADDSS       epsilon<>(SB), X0, X0
	VSQRTSS      X0, X0, X0
	VDIVSS       X0, X6, X0
	VBROADCASTSS X0, Y4
	XORQ         AX, AX

normalise:
	VMOVUPS     (DI)(AX*1), Y2
	VSUBPS      Y5, Y2, Y2
	VMULPS      Y4, Y2, Y2
	VMOVUPS     (R9)(AX*1), Y3
	VFMADD231PS (R8)(AX*1), Y2, Y3
	VMOVUPS     Y3, (DI)(AX*1)
	ADDQ        $32, AX
	CMPQ        AX, CX
	JLT         normalise

end:
	VZEROUPPER
	RET
