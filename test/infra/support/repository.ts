export { inRepository, packageJson, readText, root } from '../../support/infra/repository.ts';
