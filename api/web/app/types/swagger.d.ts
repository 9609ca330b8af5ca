/** The part of Swagger UI that the reference page uses; the package brings no types for its bundle. */
interface SwaggerRequest {
  method: string
  headers: Record<string, string>
}

declare module 'swagger-ui-dist/swagger-ui-es-bundle.js' {
  export default function swagger(options: {
    domNode: HTMLElement
    spec: object
    docExpansion: 'list'
    defaultModelsExpandDepth: number
    validatorUrl: null
    requestInterceptor: (request: SwaggerRequest) => Promise<SwaggerRequest>
  }): void
}
