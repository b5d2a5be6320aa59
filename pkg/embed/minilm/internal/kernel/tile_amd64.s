#include "textflag.h"

// A tile keeps all its sums in registers: six rows by sixteen columns are
// twelve of the sixteen YMM registers, two hold the step's row of b, one the
// broadcast element of a. Twelve independent sums hide the latency of FMA.
//
// AX, DX: rows 0 and 3 of a    R8: bytes between rows of a
// BX: b                        CX: steps left
// DI: dst                      R9: bytes between rows of dst

#define ROW(element, low, high) \
	VBROADCASTSS element, Y14     \
	VFMADD231PS  Y12, Y14, low    \
	VFMADD231PS  Y13, Y14, high

#define ROWS4(offset) \
	ROW(offset(AX), Y0, Y1)       \
	ROW(offset(AX)(R8*1), Y2, Y3) \
	ROW(offset(AX)(R8*2), Y4, Y5) \
	ROW(offset(DX), Y6, Y7)

#define ROWS6(offset) \
	ROWS4(offset)                 \
	ROW(offset(DX)(R8*1), Y8, Y9) \
	ROW(offset(DX)(R8*2), Y10, Y11)

#define INT8(low, high) \
	VPMOVSXBD low(BX), Y12  \
	VPMOVSXBD high(BX), Y13 \
	VCVTDQ2PS Y12, Y12      \
	VCVTDQ2PS Y13, Y13

#define FLOAT(low, high) \
	VMOVUPS low(BX), Y12 \
	VMOVUPS high(BX), Y13

#define CLEAR4 \
	VXORPS Y0, Y0, Y0 \
	VXORPS Y1, Y1, Y1 \
	VXORPS Y2, Y2, Y2 \
	VXORPS Y3, Y3, Y3 \
	VXORPS Y4, Y4, Y4 \
	VXORPS Y5, Y5, Y5 \
	VXORPS Y6, Y6, Y6 \
	VXORPS Y7, Y7, Y7

#define CLEAR6 \
	CLEAR4               \
	VXORPS Y8, Y8, Y8    \
	VXORPS Y9, Y9, Y9    \
	VXORPS Y10, Y10, Y10 \
	VXORPS Y11, Y11, Y11

#define STORE(low, high) \
	VFMADD213PS Y14, Y12, low  \
	VFMADD213PS Y15, Y13, high \
	VMOVUPS     low, (DI)      \
	VMOVUPS     high, 32(DI)   \
	ADDQ        R9, DI

#define STORE4 \
	VMOVUPS (SI), Y12    \
	VMOVUPS 32(SI), Y13  \
	VMOVUPS (R10), Y14   \
	VMOVUPS 32(R10), Y15 \
	STORE(Y0, Y1)        \
	STORE(Y2, Y3)        \
	STORE(Y4, Y5)        \
	STORE(Y6, Y7)

#define STORE6 \
	STORE4        \
	STORE(Y8, Y9) \
	STORE(Y10, Y11)

#define ARGUMENTS \
	MOVQ dst+0(FP), DI       \
	MOVQ dstStride+8(FP), R9 \
	MOVQ a+16(FP), AX        \
	MOVQ aStride+24(FP), R8  \
	SHLQ $2, R9              \
	SHLQ $2, R8              \
	LEAQ (AX)(R8*2), DX      \
	ADDQ R8, DX

// func tile6Int8(dst *float32, dstStride int, a *float32, aStride int, b string, scale, bias *float32)
TEXT ·tile6Int8(SB), NOSPLIT, $0-64
	ARGUMENTS
	MOVQ b_base+32(FP), BX
	MOVQ b_len+40(FP), CX
	SHRQ $4, CX
	MOVQ scale+48(FP), SI
	MOVQ bias+56(FP), R10
	CLEAR6

quad:
	CMPQ CX, $4
	JLT  single
	INT8(0, 8)
	ROWS6(0)
	INT8(16, 24)
	ROWS6(4)
	INT8(32, 40)
	ROWS6(8)
	INT8(48, 56)
	ROWS6(12)
	ADDQ $16, AX
	ADDQ $16, DX
	ADDQ $64, BX
	SUBQ $4, CX
	JMP  quad

single:
	TESTQ CX, CX
	JZ    done
	INT8(0, 8)
	ROWS6(0)
	ADDQ  $4, AX
	ADDQ  $4, DX
	ADDQ  $16, BX
	DECQ  CX
	JMP   single

done:
	STORE6
	VZEROUPPER
	RET

// func tile4Int8(dst *float32, dstStride int, a *float32, aStride int, b string, scale, bias *float32)
TEXT ·tile4Int8(SB), NOSPLIT, $0-64
	ARGUMENTS
	MOVQ b_base+32(FP), BX
	MOVQ b_len+40(FP), CX
	SHRQ $4, CX
	MOVQ scale+48(FP), SI
	MOVQ bias+56(FP), R10
	CLEAR4

quad:
	CMPQ CX, $4
	JLT  single
	INT8(0, 8)
	ROWS4(0)
	INT8(16, 24)
	ROWS4(4)
	INT8(32, 40)
	ROWS4(8)
	INT8(48, 56)
	ROWS4(12)
	ADDQ $16, AX
	ADDQ $16, DX
	ADDQ $64, BX
	SUBQ $4, CX
	JMP  quad

single:
	TESTQ CX, CX
	JZ    done
	INT8(0, 8)
	ROWS4(0)
	ADDQ  $4, AX
	ADDQ  $4, DX
	ADDQ  $16, BX
	DECQ  CX
	JMP   single

done:
	STORE4
	VZEROUPPER
	RET

// func tile6Float(dst *float32, dstStride int, a *float32, aStride int, b []float32, scale, bias *float32)
TEXT ·tile6Float(SB), NOSPLIT, $0-72
	ARGUMENTS
	MOVQ b_base+32(FP), BX
	MOVQ b_len+40(FP), CX
	SHRQ $4, CX
	MOVQ scale+56(FP), SI
	MOVQ bias+64(FP), R10
	CLEAR6

pair:
	CMPQ CX, $2
	JLT  single
	FLOAT(0, 32)
	ROWS6(0)
	FLOAT(64, 96)
	ROWS6(4)
	ADDQ $8, AX
	ADDQ $8, DX
	ADDQ $128, BX
	SUBQ $2, CX
	JMP  pair

single:
	TESTQ CX, CX
	JZ    done
	FLOAT(0, 32)
	ROWS6(0)

done:
	STORE6
	VZEROUPPER
	RET

// func tile4Float(dst *float32, dstStride int, a *float32, aStride int, b []float32, scale, bias *float32)
TEXT ·tile4Float(SB), NOSPLIT, $0-72
	ARGUMENTS
	MOVQ b_base+32(FP), BX
	MOVQ b_len+40(FP), CX
	SHRQ $4, CX
	MOVQ scale+56(FP), SI
	MOVQ bias+64(FP), R10
	CLEAR4

pair:
	CMPQ CX, $2
	JLT  single
	FLOAT(0, 32)
	ROWS4(0)
	FLOAT(64, 96)
	ROWS4(4)
	ADDQ $8, AX
	ADDQ $8, DX
	ADDQ $128, BX
	SUBQ $2, CX
	JMP  pair

single:
	TESTQ CX, CX
	JZ    done
	FLOAT(0, 32)
	ROWS4(0)

done:
	STORE4
	VZEROUPPER
	RET
