//go:build gpu && linux && cgo

package driver

/*
#include "cuda.h"
#include "cublas.h"
*/
import "C"

import (
	"errors"
	"reflect"
)

// cudaError turns an error of cu's, which is a CUresult of an unexported type, into one of ours.
func cudaError(call string, err error) error {
	if err == nil {
		return nil
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if v := reflect.ValueOf(e); v.Kind() == reflect.Int {
			return newError(call, int(v.Int()))
		}
	}
	return err
}

func newError(call string, code int) *Error {
	e := &Error{Call: call, Code: code, Name: "unknown error", Detail: "the driver does not know this code"}
	var text *C.char
	if C.cuGetErrorName(C.CUresult(code), &text) == C.CUDA_SUCCESS && text != nil {
		e.Name = C.GoString(text)
	}
	if C.cuGetErrorString(C.CUresult(code), &text) == C.CUDA_SUCCESS && text != nil {
		e.Detail = C.GoString(text)
	}
	return e
}

func cublasError(call string, status C.cublasStatus_t) error {
	if status == C.CUBLAS_STATUS_SUCCESS {
		return nil
	}
	e := &Error{Call: call, Code: int(status), Name: "cuBLAS error", Detail: "this cuBLAS has no text for it"}
	if text := C.cublasGetStatusName(status); text != nil { // since cuBLAS 11.4
		e.Name = C.GoString(text)
	}
	if text := C.cublasGetStatusString(status); text != nil {
		e.Detail = C.GoString(text)
	}
	return e
}
